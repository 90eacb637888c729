import { signal, type ReadonlySignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { address, call, ofKind, type Problem } from '../api/client';
import type { Entry, EntryList } from '../api/types';
import { news } from './store';

/** A kind's history of the last day, the oldest first. kept: what came before is not kept. */
export interface History {
  entries?: Entry[];
  kept?: string;
  problem?: Problem;
}

const page = 1000;
const day = 24 * 3600_000;

async function lastDay(kind: string, stop: AbortSignal): Promise<History> {
  const entries: Entry[] = [];
  let from: string | undefined;
  let kept: string | undefined;
  do {
    const url = address(ofKind(kind, 'history'), { since: '24h', limit: page, continue: from });
    const list = await call<EntryList>(url, { signal: stop });
    entries.push(...list.items);
    kept = list.since ?? kept;
    from = list.continue;
  } while (from);
  return { entries: entries.reverse(), ...(kept && { kept }) };
}

/** Reads a kind's history once, and adds what the stream brings. */
export function useHistory(kind: string): ReadonlySignal<History> {
  const [history, run] = useMemo(() => {
    const history = signal<History>({});
    const run = () => {
      const stop = new AbortController();
      void lastDay(kind, stop.signal).then(
        (read) => (history.value = read),
        (problem: Problem) => stop.signal.aborted || (history.value = { problem }),
      );
      const end = news.subscribe((n) => {
        const { entries } = history.peek();
        if (n?.kind !== kind || !entries) return;
        const known = new Set(entries.slice(-page).map((e) => e.id));
        const since = Date.now() - day;
        const all = [...entries, ...n.items.filter((e) => !known.has(e.id))].filter((e) => Date.parse(e.at) > since);
        history.value = { ...history.peek(), entries: all };
      });
      return () => {
        stop.abort();
        end();
      };
    };
    return [history, run] as const;
  }, [kind]);
  useEffect(run, [run]);
  return history;
}
