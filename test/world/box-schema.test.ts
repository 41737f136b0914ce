import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { BoxDescription } from '../../src/world/box-description.js';
import { boxesSchema } from '../../src/world/box-schema.js';
import { CARRIERS } from '../../src/world/carriers.js';
import { parseScenario } from '../../src/world/scenario-file.js';
import type { UplinkOptions } from '../../src/world/internet.js';

/** Scenario files hold texts only: numbers and yes are read as they are written (`readYaml`). */
const boxes = (yaml: string): BoxDescription[] => boxesSchema.parse(parse(yaml, { schema: 'failsafe' }));
const mistakes = (yaml: string): string[] => {
  const parsed = boxesSchema.safeParse(parse(yaml, { schema: 'failsafe' }));
  return parsed.success ? [] : parsed.error.issues.map(({ message }) => message);
};
const EIM = 'mapping: eim, filtering: apdf, ports: preserving';

describe('boxes as a scenario file writes them', () => {
  it('the IPv6-only carriers that come with the package', () => {
    expect(boxes(`[hop, firewall: ipv6, resolver: { dns64: yes }, nat64: { ${EIM} }]`)).toEqual(
      CARRIERS['ipv6-only'].boxes,
    );
    expect(boxes(`[hop, clat, hop, firewall: ipv6, resolver: { dns64: yes }, nat64: { ${EIM} }]`)).toEqual(
      CARRIERS['ipv6-only-464xlat'].boxes,
    );
  });

  it('with what may be said of them', () => {
    expect(boxes(`[clat: { mtu: 1400 bytes }, resolver, nat64: { ${EIM}, prefix: "2001:db8:64::" }]`)).toEqual([
      { type: 'clat', mtuBytes: 1400 },
      { type: 'resolver' },
      {
        type: 'nat64',
        nat: { mapping: 'eim', filtering: 'apdf', ports: 'preserving' },
        prefix: '2001:db8:64::',
      },
    ]);
    expect(boxes('[hop, hop: { silent: yes }]')).toEqual([{ type: 'hop' }, { type: 'hop', silent: true }]);
  });

  it('ECMP with a filter on one of its members', () => {
    expect(boxes('[ecmp: { members: 4, filter: [{ action: drop }] }]')).toEqual([
      { type: 'ecmp', members: 4, rules: [{ match: {}, action: { type: 'drop' } }] },
    ]);
  });

  it('a classifier by its name, an ALG, a policer', () => {
    expect(
      boxes(`[filter: [
        { match: { classifier: ndpi }, action: drop },
        { match: { remote-ports: [5060] }, action: translate },
        { action: { throttle: 50 packets/s } }]]`),
    ).toEqual([
      {
        type: 'filter',
        rules: [
          { match: { classifier: 'ndpi' }, action: { type: 'drop' } },
          { match: { remotePorts: [5060] }, action: { type: 'translate' } },
          { match: {}, action: { type: 'throttle', perSecond: 50 } },
        ],
      },
    ]);
  });

  it.each([
    ['[ecmp: { members: 1, filter: [{ action: drop }] }]', 'takes a number from 2 to 64'],
    [`[nat64: { ${EIM}, prefix: "64:ff9b::1" }]`, 'takes the address of an IPv6 network of 96 bits'],
    [`[nat64: { ${EIM}, prefix: 192.0.2.0 }]`, 'takes the address of an IPv6 network of 96 bits'],
    ['[filter: { match: { classifier: npdi }, action: drop }]', 'did you mean ndpi?'],
  ])('%s is told: %s', (yaml, told) => {
    expect(mistakes(yaml).join()).toContain(told);
  });
});

describe('uplinks', () => {
  const file = (client: string, server: string): string => `title: Two at one access point
story: Both are in one cafe.
meaning: They share an address.
client: { name: Laptop, interfaces: { wlan0: { kind: wifi, metric: 600, ${client} } } }
server: { name: Desktop, interfaces: { wlan0: { kind: wifi, metric: 600, ${server} } } }
carriers: { cgn: { observed: made up, isolates: yes, boxes: [hop, nat: { ${EIM}, hairpin: external }] } }
wanted: wlan0 <-> wlan0
expect: { state: established, exit: 0 }
`;
  const uplinks = (text: string): readonly UplinkOptions[] => parseScenario(text, 'mine.yaml').internet.uplinks;

  it('of one site share its boxes; further routers answer or are silent', () => {
    const [client, server] = uplinks(
      file('carrier: cgn, site: cafe, hops: [answers, silent]', 'carrier: cgn, label: other, site: cafe'),
    );
    expect(client).toMatchObject({ site: 'cafe', hops: ['answers', 'silent'], carrier: { isolates: true } });
    expect(server).toMatchObject({ site: 'cafe' });
    expect(server).not.toHaveProperty('hops');
  });

  it('of one site have one carrier', () => {
    const wrong = file('carrier: cgn, site: cafe', 'carrier: open, label: other, site: cafe');
    expect(() => uplinks(wrong)).toThrow(/mine\.yaml:5: .*the site cafe has the carrier cgn already/);
  });
});
