import { Netns } from './netns.js';

/** Two hosts with one link each to a third, which is their gateway and forwards no packet unless told to. */
export interface ThreeHosts {
  /** 10.83.1.2 on eth0 */
  readonly left: Netns;
  /** 10.83.1.1 on to-1, 10.83.2.1 on to-2 */
  readonly middle: Netns;
  /** 10.83.2.2 on eth0 */
  readonly right: Netns;
}

/** Their names begin with `name`. What was made is added to `made` as soon as it is there, for whoever removes it. */
export function threeHosts(name: string, made: Netns[]): ThreeHosts {
  const [left, middle, right] = ['l', 'm', 'r'].map((letter) => {
    const host = new Netns(`${name}${letter}`);
    made.push(host);
    return host;
  }) as [Netns, Netns, Netns];
  for (const [host, number] of [
    [left, '1'],
    [right, '2'],
  ] as const) {
    host.link('eth0', middle, `to-${number}`);
    host.ip(`addr add 10.83.${number}.2/24 dev eth0`);
    middle.ip(`addr add 10.83.${number}.1/24 dev to-${number}`);
    host.ip(`route add default via 10.83.${number}.1`);
  }
  return { left, middle, right };
}
