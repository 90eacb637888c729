import { signal } from '@preact/signals';

export const themes = ['auto', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

const kept = 'shardscaler.theme'; // boot.ts reads it

/** The theme that was chosen here before, which boot.ts has put in force, else the system's. */
export const theme = signal<Theme>(themes.find((name) => name === document.documentElement.dataset['theme']) ?? 'auto');

export function setTheme(next: Theme): void {
  theme.value = next;
  document.documentElement.dataset['theme'] = next;
  try {
    localStorage.setItem(kept, next);
  } catch {
    // a browser that keeps nothing asks again next time
  }
}

/** A colour of the theme in force, for what is drawn on el. */
export function colour(el: HTMLElement, name: string): string {
  el.style.color = `var(--${name})`; // the variable's own value is light-dark(), for either theme
  const { color } = getComputedStyle(el);
  el.style.color = '';
  return color;
}
