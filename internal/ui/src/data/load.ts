import { signal, type Signal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { call, type Problem } from '../api/client';
import { mode } from './store';

/** A document that a view asks for. data stays when a later answer fails; at is data's time here. */
export interface Loaded<T> {
  data?: T;
  problem?: Problem;
  at?: number;
}

/**
 * Asks for url at once and again each every milliseconds while the page is visible; undefined asks for nothing.
 * The second result asks at once.
 */
export function useLoad<T>(url: string | undefined, every = 0): [Signal<Loaded<T>>, () => void] {
  const [state, again, run] = useMemo(() => {
    const state = signal<Loaded<T>>({});
    const stop = new AbortController();
    let busy = false;
    const ask = async () => {
      if (busy || !url) return;
      busy = true;
      try {
        state.value = { data: await call<T>(url, { signal: stop.signal }), at: Date.now() };
      } catch (err) {
        if (!stop.signal.aborted) state.value = { ...state.value, problem: err as Problem };
      } finally {
        busy = false;
      }
    };
    const run = () => {
      void ask();
      const repeat = every > 0 && mode === 'live';
      const timer = repeat ? setInterval(() => document.visibilityState === 'visible' && void ask(), every) : undefined;
      return () => {
        clearInterval(timer);
        stop.abort();
      };
    };
    return [state, () => void ask(), run] as const;
  }, [url, every]);
  useEffect(run, [run]);
  return [state, again];
}
