import type { Catalogue } from './index';

const accents: Record<string, string> = { a: 'á', e: 'ë', i: 'ï', o: 'ö', u: 'ü', A: 'Å', E: 'É', O: 'Ø' };

/** Makes each message 40 % longer, with accents; what stands in braces stays as it is. */
export function pseudo(from: Catalogue): Catalogue {
  const long = (text: string): string => {
    let depth = 0;
    let out = '';
    for (const c of text) {
      if (c === '{') depth++;
      out += depth > 0 ? c : (accents[c] ?? c);
      if (c === '}') depth--;
    }
    return (
      out +
      '~'
        .repeat(Math.ceil(text.replaceAll(/\{.*\}/g, '').length * 0.2))
        .replaceAll('~', ' ŀ')
        .trimEnd()
    );
  };
  return Object.fromEntries(Object.entries(from).map(([key, text]) => [key, long(text)])) as Catalogue;
}
