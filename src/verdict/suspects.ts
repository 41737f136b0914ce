/** More ends than this are not searched for the fewest culprits: "at least one" is said. */
const COVER_ENDS_MAX = 12;

/** Ends that hang together through closed ways of which nobody knows at which end they are closed. */
export interface SuspectGroup<End> {
  readonly members: readonly End[];
  /** How many of them must be closed at least, to explain every way. */
  readonly fewest: number;
}

/** `edges`: closed ways, each with its two suspects. Ends are told apart by identity. */
export function suspectGroups<End>(edges: readonly (readonly End[])[]): SuspectGroup<End>[] {
  const groups: SuspectGroup<End>[] = [];
  for (const end of new Set(edges.flat())) {
    if (groups.some(({ members }) => members.includes(end))) continue;
    const members = component(end, edges);
    const own = edges.filter((edge) => edge.every((suspect) => members.includes(suspect)));
    groups.push({ members, fewest: smallestCover(members, own) });
  }
  return groups;
}

/** `at least two of {o2, telekom, hhg}` */
export function atLeast(fewest: number, names: readonly string[]): string {
  return `at least ${['no', 'one', 'two', 'three'][fewest] ?? String(fewest)} of {${names.join(', ')}}`;
}

function component<End>(start: End, edges: readonly (readonly End[])[]): End[] {
  const group = new Set([start]);
  for (let before = 0; before < group.size;) {
    before = group.size;
    for (const edge of edges) if (edge.some((end) => group.has(end))) for (const end of edge) group.add(end);
  }
  return [...group];
}

/** The fewest ends that touch every edge. */
function smallestCover<End>(group: readonly End[], edges: readonly (readonly End[])[]): number {
  if (group.length > COVER_ENDS_MAX) return 1;
  let fewest = group.length;
  for (let chosen = 0; chosen < 1 << group.length; chosen += 1) {
    const ends = group.filter((_, index) => (chosen >> index) & 1);
    if (ends.length < fewest && edges.every((edge) => edge.some((end) => ends.includes(end)))) fewest = ends.length;
  }
  return fewest;
}
