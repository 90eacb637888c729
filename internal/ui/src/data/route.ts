import { computed, signal } from '@preact/signals';

/** A view's address: #/kinds/Thing/instances?sort=lag is path ['kinds', 'Thing', 'instances'] with query sort. */
export interface Route {
  path: string[];
  query: URLSearchParams;
}

const hash = signal(location.hash);

export const route = computed<Route>(() => {
  const [path = '', query = ''] = hash.value.replace(/^#\/?/, '').split('?');
  return { path: path.split('/').filter(Boolean).map(decode), query: new URLSearchParams(query) };
});

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The address of a view. Parameters that are undefined or '' are left out. */
export function to(path: string[], query: Record<string, string | undefined> = {}): string {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) q.set(name, value);
  const text = q.toString();
  return '#/' + path.map(encodeURIComponent).join('/') + (text && '?' + text);
}

/** Changes the query of the present view without a new entry in the history. */
export function refine(query: Record<string, string | undefined>): void {
  const now = Object.fromEntries(route.value.query);
  history.replaceState(null, '', to(route.value.path, { ...now, ...query }));
  hash.value = location.hash;
}

export function go(address: string): void {
  location.hash = address;
}

export function followRoutes(): void {
  addEventListener('hashchange', () => (hash.value = location.hash));
}
