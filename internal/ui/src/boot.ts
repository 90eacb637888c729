import { load, preferred } from './i18n/load';

// The first that runs: it begins to listen while the rest of the page is still fetched and read.

/** The kind whose instances the page opens with, '' for another view. */
const fleet = decode(/^#\/kinds\/([^/?]+)(?:\/instances)?(?:\?|$)/.exec(location.hash)?.[1] ?? '');

/**
 * The worker that holds the stream of all tabs, and whether it has failed; no worker in a saved snapshot. knock: a session
 * is needed, as far as is known here, and there may be none.
 */
export const early: { worker?: SharedWorker; failed: boolean; fleet: string; knock: boolean } = {
  failed: false,
  fleet,
  knock: location.protocol === 'https:' && !knownHere(),
};

if (typeof SharedWorker === 'function' && document.documentElement.dataset['mode'] !== 'snapshot') {
  const worker = new SharedWorker(new URL('./data/worker.ts', import.meta.url), {
    type: 'module',
    name: 'shardscaler',
  });
  worker.onerror = () => (early.failed = true);
  worker.port.postMessage({ url: new URL('../v1/api/kinds', document.baseURI).href, fleet, knock: early.knock });
  early.worker = worker;
}

/** Whether a user was signed in by this browser when the page asked last. */
function knownHere(): boolean {
  try {
    return localStorage.getItem('shardscaler.session') !== null;
  } catch {
    return false;
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return '';
  }
}

/** The colours that were chosen here before, in force before anything is drawn. */
try {
  document.documentElement.dataset['theme'] = localStorage.getItem('shardscaler.theme') ?? 'auto';
} catch {
  // a browser that keeps nothing: the system's
}

void load(preferred()); // beside the main part, which awaits it
void import('./main');
