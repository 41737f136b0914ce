import type { InterfaceKind } from '../base/interface.js';

/** What sysfs says of one interface; `null` where it says nothing. */
export interface InterfaceFacts {
  readonly name: string;
  /** ARPHRD_*: 1 Ethernet, 772 loopback, 65534 none (TUN, raw IP). */
  readonly type: number | null;
  /** Whether there is a device behind it: false for veth, TUN, bridges. */
  readonly hardware: boolean;
  readonly wireless: boolean;
  /** `DEVTYPE` of its uevent: `wlan`, `wwan`, `bridge` … */
  readonly devtype: string | null;
  readonly driver: string | null;
  /** Of the device: `usb:v18D1p4EE3…`. */
  readonly modalias: string | null;
}

const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;

const CELLULAR_DRIVERS: ReadonlySet<string> = new Set([
  ...['cdc_mbim', 'qmi_wwan', 'qmi_wwan_q', 'huawei_cdc_ncm', 'sierra_net', 'hso', 'GobiNet'],
  ...['iosm', 'mhi_net', 'mhi_wwan_mbim', 'mtk_t7xx', 'ipa', 'bam-dmux'],
]);

/** What a phone looks like that shares its connection over USB. */
const TETHERING_DRIVERS: ReadonlySet<string> = new Set(['rndis_host', 'cdc_ether', 'cdc_ncm', 'cdc_eem', 'ipheth']);

/** USB vendors that use the tethering drivers for something else: makers of Ethernet chips, of modem modules. */
const ETHERNET_ADAPTER_VENDORS: ReadonlySet<string> = new Set(['0BDA', '0B95', '17EF', '0424', '2357', '13B1']);
const MODEM_VENDORS: ReadonlySet<string> = new Set(['2C7C', '1199', '1BC7', '1546', '1E0E', '19D2']);

/** Names that udev, Android and administrators give; they decide only where there is no hardware to ask. */
const NAME_PATTERNS: readonly (readonly [RegExp, InterfaceKind])[] = [
  [/^lo\d*$/, 'loopback'],
  [/^(?:docker|br-|virbr|lxc|cni|flannel|tun|tap|wg|tailscale|zt|ifb|sit|ip6tnl|gre)/, 'other'],
  [/^(?:wlan|wlp|wlx|wlo|wls|wifi)/, 'wifi'],
  [/^(?:ww|ppp|rmnet|ccmni)/, 'cellular'],
  [/^(?:usb|rndis|enx)/, 'tethered'],
  [/^(?:en|eth|em\d|p\d+p\d)/, 'ethernet'],
];

/** The kind of an interface. Hardware is believed before names; a user's word goes before both. */
export function classify(facts: InterfaceFacts): InterfaceKind {
  if (facts.type === ARPHRD_LOOPBACK) return 'loopback';
  if (facts.wireless || facts.devtype === 'wlan') return 'wifi';
  if (facts.devtype === 'wwan' || CELLULAR_DRIVERS.has(facts.driver ?? '')) return 'cellular';
  if (TETHERING_DRIVERS.has(facts.driver ?? '')) return usbKind(facts.modalias);
  if (facts.hardware && facts.type === ARPHRD_ETHER) return 'ethernet';
  const named = NAME_PATTERNS.find(([pattern]) => pattern.test(facts.name))?.[1];
  return named ?? (facts.type === ARPHRD_ETHER ? 'ethernet' : 'other');
}

function usbKind(modalias: string | null): InterfaceKind {
  const vendor = /^usb:v([0-9A-F]{4})/.exec(modalias ?? '')?.[1] ?? '';
  if (ETHERNET_ADAPTER_VENDORS.has(vendor)) return 'ethernet';
  return MODEM_VENDORS.has(vendor) ? 'cellular' : 'tethered';
}

/** Whether containers and hypervisors made it for themselves: never a way to the far end unless the user names it. */
export function isContainerPlumbing(name: string): boolean {
  return /^(?:docker|br-|veth|virbr|lxc|cni|flannel|cali|ifb)/.test(name);
}
