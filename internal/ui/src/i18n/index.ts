import { signal } from '@preact/signals';
import type { en } from './en';
import { format, number, type Params } from './format';
import { kept, load, type Lang } from './load';

export { preferred, type Lang } from './load';
export type Key = keyof typeof en;
export type Catalogue = Record<Key, string>;
/** A part of what the server says: our words, a line to type, or what others said, in their words. */
export type Part = string | { code: string } | { said: string };

/** The language in force, and its catalogue, which change together. There is none before the first use has ended. */
export const lang = signal<Lang>('en');
const catalogue = signal({} as Catalogue);
const reader = signal<(text: string) => Part[]>((text) => [text]);

/** Loads a language and puts it in force. */
export async function use(next: Lang): Promise<void> {
  const { texts, say } = await load(next);
  catalogue.value = texts;
  const read = (): void => {
    reader.value = (text) => (say ? say(text, () => lang.peek() === next && read()) : [text]);
  };
  read();
  lang.value = next;
  document.documentElement.lang = next === 'zh' ? 'zh-CN' : 'en';
}

/** Puts a language in force and remembers it in this browser. */
export function choose(next: Lang): void {
  try {
    localStorage.setItem(kept, next);
  } catch {
    // a browser that keeps nothing asks again next time
  }
  void use(next);
}

/** The locale for numbers and times. */
export function locale(): string {
  return lang.value === 'zh' ? 'zh-CN' : 'en';
}

/** The text of a key in the language in force. */
export function t(key: Key, params: Params = {}): string {
  return format(catalogue.value[key], params, locale());
}

/** The text of a key made from a code of the server; undefined where the catalogue lacks it. */
export function tCode(prefix: string, code: string, params: Params = {}): string | undefined {
  const key = `${prefix}.${code}`;
  return key in catalogue.value ? format(catalogue.value[key as Key], params, locale()) : undefined;
}

/** What the server says in English, in the language in force. */
export function said(text: string): Part[] {
  return reader.value(text);
}

/** A number in the locale's way. */
export function n(value: number): string {
  return number(value, locale());
}
