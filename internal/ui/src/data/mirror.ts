import type { Instance, Kind } from '../api/types';

/** What changes by time alone; it comes beside the documents. */
interface Dated {
  sources?: Record<string, string>;
  worstLag?: { instance: number; lag: string };
  perMinute?: number;
  estimatedEnd?: string;
}

/** The data of a state or change event. Kinds and instances are merge patches (RFC 7396). */
export interface Update {
  full?: boolean;
  at: string;
  names: string[];
  kinds: { name: string; kind?: Tree; instances?: (Tree & { ordinal: number })[]; removed?: number[] }[];
  dated: Record<string, Dated>;
}

type Tree = Record<string, unknown>;

/** What became different of a kind's instances. full: forget those known before. */
export interface Fleet {
  kind: string;
  full: boolean;
  items: Instance[];
  removed: number[];
}

/** Mirror puts the server's documents together again from the updates of its stream. */
export class Mirror {
  private readonly kinds = new Map<string, { kind: Tree; instances: Map<number, Tree> }>();
  private dated: Record<string, Dated> = {};
  private names: string[] = [];
  private at = '';

  /** Takes in an update and returns what changed of the instances. It throws where a change comes before a state. */
  apply(u: Update): Fleet[] {
    if (u.full) this.kinds.clear();
    else if (!this.at) throw new Error('a change came before a full state');
    const fleets = u.kinds.map((part) => {
      const mine = this.kinds.get(part.name) ?? { kind: {}, instances: new Map<number, Tree>() };
      this.kinds.set(part.name, mine);
      if (part.kind) mine.kind = merge(mine.kind, part.kind);
      for (const patch of part.instances ?? []) {
        mine.instances.set(patch.ordinal, merge(mine.instances.get(patch.ordinal) ?? {}, patch));
      }
      for (const ordinal of part.removed ?? []) mine.instances.delete(ordinal);
      const items = (part.instances ?? []).map((i) => mine.instances.get(i.ordinal) as unknown as Instance);
      return { kind: part.name, full: !!u.full, items, removed: part.removed ?? [] };
    });
    for (const name of this.kinds.keys()) if (!u.names.includes(name)) this.kinds.delete(name);
    this.names = u.names;
    this.dated = u.dated;
    this.at = u.at;
    return fleets;
  }

  /** The kinds in their order, with their times. */
  list(): Kind[] {
    return this.names.flatMap((name) => {
      const tree = this.kinds.get(name)?.kind;
      if (!tree) return [];
      const kind = tree as unknown as Kind;
      const { sources = {}, worstLag, perMinute, estimatedEnd } = this.dated[name] ?? {};
      return [
        {
          ...kind,
          at: this.at,
          ...(worstLag && { worstLag }),
          progress: { ...kind.progress, ...(perMinute && { perMinute }), ...(estimatedEnd && { estimatedEnd }) },
          sources: kind.sources.map((s) => ({ ...s, ...(sources[s.name] && { at: sources[s.name] }) })),
        },
      ];
    });
  }

  /** All instances of a kind, ascending by ordinal. */
  fleet(kind: string): Fleet {
    const items = [...(this.kinds.get(kind)?.instances.values() ?? [])] as unknown as Instance[];
    return { kind, full: true, items: items.sort((a, b) => a.ordinal - b.ordinal), removed: [] };
  }
}

/** Applies a merge patch and returns a new object; what the patch does not name is shared with the old one. */
function merge(object: Tree, patch: Tree): Tree {
  const out = { ...object };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete out[name];
    else if (typeof value === 'object' && !Array.isArray(value))
      out[name] = merge((out[name] as Tree | undefined) ?? {}, value as Tree);
    else out[name] = value;
  }
  return out;
}
