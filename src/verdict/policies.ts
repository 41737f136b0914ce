import type { InterfaceKind } from '../base/interface.js';
import type { Ms } from '../base/time.js';

/**
 * What a policy (`--prefer`) made of a run, or would have made of it: `report.policies`. All times are since the client
 * and the server had agreed on the run.
 */
export interface PolicyReport {
  /** As `--prefer` takes it; `equal`: RFC 8445's own order. */
  readonly policy: string;
  /** `run`: as the run itself went. `replay`: the record's candidates, round trips and losses, played again in this order. */
  readonly source: 'run' | 'replay';
  /** Paths in the order in which the client first checked them. */
  readonly order: readonly { readonly path: string; readonly atMs: Ms }[];
  /** The first path that came up between each two kinds of interfaces, the earliest first; kinds without one are left out. */
  readonly first: readonly {
    readonly client: InterfaceKind;
    readonly server: InterfaceKind;
    readonly path: string;
    readonly atMs: Ms;
  }[];
  /** The path whose pair ICE selects; `null`: none, or it cannot be told (`unknown`). */
  readonly selected: string | null;
  /** Connectivity checks that both ends sent, retransmissions among them; answers and consent are not. */
  readonly probes: number;
  /** What the record cannot tell, a sentence each. */
  readonly unknown: readonly string[];
}
