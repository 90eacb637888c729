import type { Catalogue, Part } from './index';

/** The languages; xx is English made longer, to test the layout. */
export type Lang = 'en' | 'zh' | 'xx';

export const kept = 'shardscaler.lang';

/** The language that was chosen here before, else the browser's. */
export function preferred(): Lang {
  let was: string | null = null;
  try {
    was = localStorage.getItem(kept);
  } catch {
    // a browser that keeps nothing: its own
  }
  if (was === 'en' || was === 'zh' || was === 'xx') return was;
  return navigator.languages.some((l) => l.toLowerCase().startsWith('zh')) ? 'zh' : 'en';
}

/** A language's catalogue; say has what the server says in that language; absent: as it is. */
export interface Loaded {
  texts: Catalogue;
  say?: (text: string, learned: () => void) => Part[];
}

/** Loads a language. Each is a file of its own, so that a reader loads no other one. */
export async function load(lang: Lang): Promise<Loaded> {
  if (lang === 'zh') {
    const { zh, say } = await import('./zh');
    return { texts: zh, say };
  }
  const { en } = await import('./en');
  return { texts: lang === 'xx' ? (await import('./pseudo')).pseudo(en) : en };
}
