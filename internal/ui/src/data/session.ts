import { computed, signal } from '@preact/signals';
import { address, call, type Problem } from '../api/client';
import type { Session } from '../api/types';
import { mode, now } from './store';

/** Who is signed in, as the server says; undefined: not known, or a snapshot. */
export const session = signal<Session | undefined>(undefined);

/** Why the server knows no caller, if so. */
export const stranger = signal<Problem | undefined>(undefined);

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
    session.value = await call<Session>(address('session'));
    stranger.value = undefined;
  } catch (err) {
    if ((err as Problem).status === 401) stranger.value = err as Problem;
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
