import type { HostFacts } from './host-facts.js';
import type { Modem } from './modem-manager.js';

/** One thing that `doctor` found. */
export interface Finding {
  /** Stable: `route-unpinned`, `sim-slot` … */
  readonly check: string;
  /** An interface, `modem 0`, `host`. */
  readonly subject: string;
  /** `fails`: a run cannot use it as it is; `spoils`: a run may come out wrong; `note`: to be known; `ok`. */
  readonly level: 'ok' | 'note' | 'spoils' | 'fails';
  /** One sentence. */
  readonly what: string;
  /** The command that mends it, or what to do. */
  readonly remedy: string | null;
}

/** What this host lacks or has wrong for a run over several interfaces. Pure. */
export function diagnose(facts: HostFacts): Finding[] {
  return [
    ...facts.missing.map(({ what, without }) => finding('missing', 'host', 'spoils', `${what}. ${without}`, null)),
    ...facts.interfaces.flatMap((one) => interfaceFindings(one, facts)),
    ...routeFindings(facts),
    ...reversePathFindings(facts),
    ...firewallFindings(facts),
    ...clockFindings(facts),
    ...managerFindings(facts),
    ...modemFindings(facts),
  ];
}

function finding(
  check: string,
  subject: string,
  level: Finding['level'],
  what: string,
  remedy: string | null,
): Finding {
  return { check, subject, level, what, remedy };
}

function interfaceFindings(
  { name, kind, up, addresses }: HostFacts['interfaces'][number],
  facts: HostFacts,
): Finding[] {
  if (kind === 'loopback' || kind === 'other') return [];
  const connect = kind === 'cellular' ? bringUp(facts) : `nmcli device connect ${name}`;
  if (!up) return [finding('interface-down', name, 'fails', `${name} (${kind}) is down`, `ip link set ${name} up`)];
  if (addresses.length === 0) {
    return [
      finding('no-address', name, 'fails', `${name} (${kind}) is up and has no address that a peer can use`, connect),
    ];
  }
  const families = new Set(addresses.map(({ family }) => family));
  return families.has('ipv6')
    ? []
    : [finding('no-ipv6', name, 'note', `${name} has IPv4 alone: no path over IPv6 will be tried on it`, null)];
}

/** Tables of policy routes, one an interface. */
const FIRST_TABLE = 701;

/** The profiles that NetworkManager has for modems, by their names; where it has none, how one is made. */
function bringUp({ networkManager, modems }: Pick<HostFacts, 'networkManager' | 'modems'>): string {
  const [profile, ...others] = networkManager?.cellularProfiles ?? [];
  if (profile !== undefined) {
    const more = others.length === 0 ? '' : `   # or ${others.map(quoted).join(', ')}`;
    return `nmcli connection up id ${quoted(profile)}${more}`;
  }
  if (networkManager) {
    return "nmcli connection add type gsm ifname '*' con-name cellular apn internet && nmcli connection up id cellular   # the APN that the carrier names";
  }
  const index = modems?.[0]?.index ?? 0;
  return `mmcli -m ${index} --simple-connect='apn=internet'   # the APN that the carrier names`;
}

/** `via 10.71.3.10`, by what the modem's bearer says; nothing on a link that has no gateway. */
function viaOf(name: string, from: string, gateway: string | null, modems: HostFacts['modems']): string {
  const bearer = (modems ?? [])
    .flatMap(({ bearers }) => bearers)
    .find((one) => one.connected && one.interface === name);
  const known = gateway ?? (from.includes(':') ? bearer?.ipv6 : bearer?.ipv4)?.gateway ?? null;
  return known === null ? '' : ` via ${known}`;
}

function routeFindings({ interfaces, routes, modems }: HostFacts): Finding[] {
  return routes.flatMap(({ pinned, unpinned }) => {
    const { interface: name, from } = pinned;
    const family = from.includes(':') ? ' -6' : '';
    if (pinned.routed === false) {
      const via = viaOf(name, from, pinned.gateway, modems);
      // Without one a LAN's host asks for every far address by ARP, and its sends succeed into nothing (facts.md).
      const needsGateway = via === '' && interfaces.find((one) => one.name === name)?.kind !== 'cellular';
      return [
        finding(
          'no-route',
          name,
          'fails',
          `${name} has no route beyond its own network from ${from}: ${pinned.reason}`,
          needsGateway
            ? `ip${family} route add default via GATEWAY dev ${name} metric 700   # the address of its router`
            : `ip${family} route add default${via} dev ${name} metric 700`,
        ),
      ];
    }
    if (pinned.neighbour === 'failed' || pinned.neighbour === 'incomplete') {
      return [
        finding('gateway-silent', name, 'fails', pinned.reason, `ping -I ${name} ${pinned.gateway ?? pinned.to}`),
      ];
    }
    if (unpinned.verdict === 'mismatch') {
      const table = FIRST_TABLE + interfaces.findIndex((one) => one.name === name);
      return [
        finding(
          'route-unpinned',
          name,
          'note',
          `sockets that are not pinned and use ${from} leave by ${unpinned.device ?? 'another interface'}: icepath pins its own, other programs (and --pin off) take the wrong way`,
          `ip${family} rule add from ${from} lookup ${table}; ip${family} route add default${viaOf(name, from, pinned.gateway, modems)} dev ${name} table ${table}`,
        ),
      ];
    }
    if (pinned.verdict === 'unknown') {
      return [
        finding('route-unknown', name, 'spoils', `it cannot be verified where ${from} leaves: ${pinned.reason}`, null),
      ];
    }
    const via = pinned.gateway === null ? 'directly' : `via ${pinned.gateway}`;
    return [finding('route', name, 'ok', `${from} leaves by ${name} ${via}, to ${pinned.to}`, null)];
  });
}

function reversePathFindings({ counters, routes }: HostFacts): Finding[] {
  if (!counters) return [];
  const several = new Set(routes.map(({ pinned }) => pinned.interface)).size > 1;
  return [...new Set(routes.map(({ pinned }) => pinned.interface))].flatMap((name) => {
    const isOff = routes.some(
      ({ pinned, unpinned }) =>
        pinned.interface === name && !pinned.from.includes(':') && unpinned.verdict === 'mismatch',
    );
    if (counters.rpFilter[name] !== 1 || !several || !isOff) return [];
    return [
      finding(
        'rp-filter',
        name,
        'fails',
        `rp_filter is strict on ${name}, which the default route does not use: answers that arrive there are dropped by this host`,
        `sysctl -w net.ipv4.conf.${name}.rp_filter=2`,
      ),
    ];
  });
}

function firewallFindings({ counters, firewall }: HostFacts): Finding[] {
  const rules = Object.entries(counters?.host ?? {}).filter(([name]) => /^(?:nft|ip6?tables) /.test(name));
  return [
    ...rules.map(([name, packets]) =>
      finding(
        'firewall',
        'host',
        'note',
        `this host's own firewall drops: ${name} (${packets} packets so far)`,
        name.startsWith('nft') ? 'nft list ruleset' : 'iptables -nvL',
      ),
    ),
    ...firewall.closed.map((chain) =>
      finding(
        'firewall-closed',
        'host',
        'note',
        `this host's own firewall drops what no rule of ${chain} lets through, and does not count it: answers to what icepath sent must get in`,
        `nft insert rule ${chain} ct state established,related accept`,
      ),
    ),
    ...(firewall.isReadable === true ? [] : [unreadFirewall(firewall.isReadable)]),
  ];
}

function unreadFirewall(isHere: false | null): Finding {
  const why = isHere === null ? 'neither nft nor iptables is here' : 'its rules may be read by root alone';
  return finding(
    'firewall-unknown',
    'host',
    'note',
    `whether this host's own firewall drops anything is not known: ${why}`,
    isHere === null ? null : 'sudo icepath doctor',
  );
}

function clockFindings({ clockSynchronised, absent }: HostFacts): Finding[] {
  if (clockSynchronised === null) {
    const why = absent.includes('timedatectl') ? 'there is no timedatectl to ask' : 'timedatectl does not say';
    const unknown = `whether the clock is set from the network is not known: ${why}; a run measures how far both hosts’ clocks are apart`;
    return [finding('clock-unknown', 'host', 'note', unknown, 'chronyc tracking   # or: ntpq -p')];
  }
  if (clockSynchronised) return [];
  const what =
    'the clock is not set from the network: times of both hosts’ logs will not match (verdicts do not need them)';
  return [finding('clock', 'host', 'note', what, 'timedatectl set-ntp true')];
}

/** What keeps NetworkManager from an interface that a run would use. */
function managerFindings({ networkManager, absent, interfaces }: HostFacts): Finding[] {
  const asked = interfaces.filter(({ kind }) => ['cellular', 'tethered', 'wifi'].includes(kind));
  if (networkManager === null) {
    if (asked.length === 0) return [];
    const why = absent.includes('nmcli') ? 'there is no NetworkManager to ask (nmcli)' : 'NetworkManager does not run';
    return [
      finding(
        'no-network-manager',
        'host',
        'note',
        `${why}: nothing is known of radios and profiles, which something else may manage`,
        absent.includes('nmcli') ? null : 'systemctl start NetworkManager   # unless something else manages them',
      ),
    ];
  }
  const wifi = networkManager.devices.some(({ type }) => type === 'wifi');
  return [
    ...(wifi && networkManager.radio.wifi === false
      ? [finding('radio-off', 'host', 'fails', 'the WiFi radio is switched off', 'nmcli radio wifi on')]
      : []),
    ...networkManager.devices
      .filter(({ type, state }) => (type === 'gsm' || type === 'wifi') && state === 'unmanaged')
      .map(({ device }) =>
        finding(
          'unmanaged',
          device,
          'note',
          `NetworkManager leaves ${device} alone: it connects nothing there`,
          `nmcli device set ${device} managed yes`,
        ),
      ),
  ];
}

function modemFindings({ modems, networkManager, interfaces }: HostFacts): Finding[] {
  const cellular = interfaces.filter(({ kind }) => kind === 'cellular');
  if (modems === null) {
    if (cellular.length === 0) return [];
    const what = 'there is no ModemManager to ask (mmcli): nothing is known of SIM, operator and signal';
    return [finding('no-modem-manager', 'host', 'note', what, 'apt-get install modemmanager')];
  }
  const radio =
    modems.length > 0 && networkManager?.radio.wwan === false
      ? [finding('radio-off', 'host', 'fails', 'the cellular radio is switched off', 'nmcli radio wwan on')]
      : [];
  return [...radio, ...modems.flatMap((modem) => oneModem(modem, networkManager))];
}

/** Below it LTE modems drop to the lowest rates, by their makers' scales. */
const WEAK_PERCENT = 20;

function oneModem(modem: Modem, networkManager: HostFacts['networkManager']): Finding[] {
  const subject = `modem ${modem.index}`;
  const findings: Finding[] = [];
  const say = (check: string, level: Finding['level'], what: string, remedy: string | null): void => {
    findings.push(finding(check, subject, level, what, remedy));
  };
  for (const { slot, sim } of modem.slots) {
    if (sim === null || modem.primarySlot === null || slot === modem.primarySlot) continue;
    const primary = modem.slots.find((one) => one.slot === modem.primarySlot)?.sim ?? null;
    const useless = primary === null || primary.hasProfile === false;
    say(
      'sim-slot',
      useless ? 'fails' : 'note',
      `there is a SIM in slot ${slot}, but slot ${modem.primarySlot} is primary${useless ? ', and nothing usable is in it' : ''}`,
      `mmcli -m ${modem.index} --set-primary-sim-slot=${slot}   # the modem's number changes after it: mmcli -L`,
    );
  }
  if (modem.slots.length > 0 && modem.slots.every(({ sim }) => sim === null)) {
    say('no-sim', 'fails', `${modem.model} has no SIM in any slot`, 'put one in, then: mmcli -L');
  }
  if (modem.lock === 'sim-pin' || modem.lock === 'sim-puk') {
    const sim = modem.lock === 'sim-pin' ? '--pin=PIN' : '--puk=PUK --pin=PIN';
    say(
      'sim-locked',
      'fails',
      `the SIM asks for its ${modem.lock.slice(4).toUpperCase()}`,
      `mmcli -i ${lockedSim(modem)} ${sim}`,
    );
  } else if (modem.lock?.startsWith('ph-') === true) {
    say(
      'operator-lock',
      'fails',
      `${modem.model} takes no SIM of this operator (${modem.lock})`,
      'ask who sold it for the unlock code, or use a SIM of its operator',
    );
  } else if (modem.state === 'locked' || (modem.powerState === 'low' && modem.state === 'disabled')) {
    say(
      'fcc-lock',
      'fails',
      `${modem.model} is locked by its firmware (FCC lock): enabling it fails`,
      'ln -s /usr/share/ModemManager/fcc-unlock.available.d/VENDOR:PRODUCT /etc/ModemManager/fcc-unlock.d/ && systemctl restart ModemManager',
    );
  }
  if (modem.state === 'failed')
    say(
      'modem-failed',
      'fails',
      `${modem.model} failed: ${modem.failedReason ?? 'no reason given'}`,
      `mmcli -m ${modem.index}`,
    );
  if (modem.registration === 'denied') {
    say(
      'registration-denied',
      'fails',
      `the network ${modem.operator.name ?? modem.operator.code ?? ''} refuses the SIM (registration denied)`.replace(
        '  ',
        ' ',
      ),
      `mmcli -m ${modem.index} --3gpp-scan --timeout=300   # then --3gpp-register-in-operator=CODE; an inactive SIM is refused everywhere`,
    );
  }
  if (modem.signalPercent !== null && modem.signalPercent < WEAK_PERCENT && modem.registration !== null) {
    say(
      'weak-signal',
      'spoils',
      `the signal is weak (${modem.signalPercent} %): what is lost on the air looks like bursts of loss`,
      `mmcli -m ${modem.index} --signal-setup=5 && mmcli -m ${modem.index} --signal-get   # then move the antenna`,
    );
  }
  const bearer = modem.bearers.find(({ connected }) => connected);
  if (bearer) say('bearer', 'ok', connectedSentence(modem), null);
  else if (['registered', 'enabled', 'searching'].includes(modem.state)) {
    const network = modem.operator.name === null ? '' : ` on ${modem.operator.name}`;
    say(
      'no-bearer',
      'fails',
      `${modem.model} is ${modem.state}${network}, but not connected`,
      bringUp({ networkManager, modems: [modem] }),
    );
  }
  return findings;
}

function connectedSentence({ model, operator, access, signalPercent, bearers, interfaces }: Modem): string {
  const bearer = bearers.find(({ connected }) => connected);
  const addresses = [bearer?.ipv4, bearer?.ipv6].flatMap((config) => (config ? [config.address] : []));
  const configs = [bearer?.ipv4, bearer?.ipv6].flatMap((config) => config ?? []);
  const mtu = configs.find(({ mtuBytes }) => mtuBytes !== null)?.mtuBytes;
  const dns = [...new Set(configs.flatMap((config) => config.dns))];
  const facts = [
    `${operator.name ?? 'unknown operator'}${operator.code === null ? '' : ` (${operator.code})`}`,
    access.join('+'),
    signalPercent === null ? '' : `signal ${signalPercent} %`,
    bearer?.apn ? `APN ${bearer.apn}` : '',
    addresses.join(', '),
    mtu === undefined ? '' : `MTU ${mtu}`,
    dns.length === 0 ? '' : `DNS ${dns.join(' and ')}`,
  ].filter((fact) => fact !== '');
  return `${model} is connected on ${bearer?.interface ?? interfaces[0] ?? 'no interface'}: ${facts.join(', ')}`;
}

/** The SIM that is asked for its PIN: the one in the primary slot. */
function lockedSim({ slots, primarySlot }: Modem): number {
  const present = slots.filter(({ sim }) => sim !== null);
  return (present.find(({ slot }) => slot === primarySlot) ?? present[0])?.sim?.index ?? 0;
}

function quoted(name: string): string {
  return `"${name.replace(/[\\"$`]/g, '\\$&')}"`;
}
