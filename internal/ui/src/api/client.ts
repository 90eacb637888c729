/** A problem document (RFC 9457), or what stands for one where no server answered. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly errors: { location?: string; message?: string; value?: unknown }[] = [],
  ) {
    super(detail || title);
  }
}

/** The address of a call below /v1/api/; params that are undefined or '' are left out. */
export function address(path: string, params: Record<string, string | number | undefined> = {}): string {
  const url = new URL('../v1/api/' + path, document.baseURI);
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== '') url.searchParams.set(name, String(value));
  }
  return url.href;
}

/** The path of a kind's call. */
export function ofKind(kind: string, rest = ''): string {
  return `kinds/${encodeURIComponent(kind)}${rest && '/' + rest}`;
}

/** Calls the API and returns the document. It throws a Problem. */
export async function call<T>(url: string, init: RequestInit = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, headers: { Accept: 'application/json', ...init.headers } });
  } catch (err) {
    if (err instanceof DOMException && err.name === 'AbortError') throw err;
    throw new Problem(0, '', '');
  }
  const text = await response.text();
  let body: unknown;
  try {
    body = text ? JSON.parse(text) : undefined;
  } catch {
    body = undefined;
  }
  if (!response.ok) {
    const p = (body ?? {}) as Partial<Problem>;
    throw new Problem(response.status, p.title ?? response.statusText, p.detail ?? '', p.errors ?? []);
  }
  return body as T;
}

/** Sends a change with a JSON body. */
export function send<T>(method: 'POST' | 'PUT' | 'DELETE', url: string, body?: unknown): Promise<T> {
  return call<T>(url, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
  });
}
