import { computed, signal } from '@preact/signals';
import { address, call } from '../api/client';
import type { Session } from '../api/types';
import { mode, now } from './store';

/** Who is signed in, as the server says; undefined: not known, or a snapshot. */
export const session = signal<Session | undefined>(undefined);

/** Why the server knows no caller, and what to do; undefined: it knows one, or has not answered yet. */
export const stranger = signal<string | undefined>(undefined);

const warned = 10 * 60_000; // before the end of a session

/** How long the session lasts, in milliseconds, once that is less than ten minutes; else undefined. */
export const ending = computed(() => {
  const until = session.value?.until;
  const left = until ? Date.parse(until) - now.value : Infinity;
  return left < warned ? Math.max(0, left) : undefined;
});

/** Asks who is signed in. A server that is away says nothing about that. */
export async function who(): Promise<void> {
  try {
    const answer = await call<Session>(address('session'));
    session.value = answer.user ? answer : undefined;
    stranger.value = answer.user ? undefined : (answer.stranger ?? '');
    keep(!!answer.user);
  } catch {
    // asked again in a minute
  }
}

/** Keeps for the next page whether there is a session, see boot.ts. */
function keep(known: boolean): void {
  try {
    if (known) localStorage.setItem('shardscaler.session', 'true');
    else localStorage.removeItem('shardscaler.session');
  } catch {
    // a browser that keeps nothing asks for the session first
  }
}

/** Asks now and each minute: a session may be renewed or ended in another tab. */
export function keepAsking(): void {
  if (mode === 'snapshot') return;
  void who();
  setInterval(() => document.visibilityState === 'visible' && void who(), 60_000);
}

/** Makes a token the browser's session. It throws a Problem. The page begins anew, so that the stream does too. */
export async function signIn(token: string): Promise<void> {
  await call(address('session'), { method: 'POST', headers: { Authorization: `Bearer ${token}` } });
  location.reload();
}
