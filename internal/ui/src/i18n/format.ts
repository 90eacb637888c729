// Messages are a small part of ICU: {name}, and {name, plural, one {…} other {…}} with # for the number.

export type Params = Record<string, string | number>;

/** Formats a message. A name without a value stays as {name}, so that it is seen. */
export function format(message: string, params: Params, locale: string): string {
  let out = '';
  for (let i = 0; i < message.length;) {
    if (message[i] !== '{') {
      out += message[i++];
      continue;
    }
    const end = closing(message, i);
    out += argument(message.slice(i + 1, end), params, locale);
    i = end + 1;
  }
  return out;
}

function closing(text: string, open: number): number {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === '{') depth++;
    else if (text[i] === '}' && --depth === 0) return i;
  }
  throw new Error(`unclosed brace in ${text}`);
}

function argument(body: string, params: Params, locale: string): string {
  const [name = '', kind, ...rest] = body.split(',').map((part) => part.trim());
  const value = params[name];
  if (value === undefined) return `{${name}}`;
  if (kind !== 'plural') return typeof value === 'number' ? number(value, locale) : value;
  const forms = branches(body.slice(body.indexOf('plural') + 'plural'.length + 1));
  void rest;
  const n = Number(value);
  const form = forms.get(`=${n}`) ?? forms.get(plural(locale).select(n)) ?? forms.get('other') ?? '';
  return format(form.replaceAll('#', number(n, locale)), params, locale);
}

function branches(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (let i = 0; i < text.length;) {
    const open = text.indexOf('{', i);
    if (open < 0) break;
    const end = closing(text, open);
    found.set(text.slice(i, open).trim(), text.slice(open + 1, end));
    i = end + 1;
  }
  return found;
}

const plurals = new Map<string, Intl.PluralRules>();
const numbers = new Map<string, Intl.NumberFormat>();

function plural(locale: string): Intl.PluralRules {
  let p = plurals.get(locale);
  if (!p) plurals.set(locale, (p = new Intl.PluralRules(locale)));
  return p;
}

/** Writes a number with at most two decimals, in the locale's way. */
export function number(n: number, locale: string): string {
  let f = numbers.get(locale);
  if (!f) numbers.set(locale, (f = new Intl.NumberFormat(locale, { maximumFractionDigits: 2 })));
  return f.format(n);
}
