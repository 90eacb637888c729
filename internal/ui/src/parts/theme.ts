import { signal } from '@preact/signals';

export const themes = ['auto', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

const kept = 'shardscaler.theme';

function remembered(): Theme {
  try {
    return themes.find((name) => name === localStorage.getItem(kept)) ?? 'auto';
  } catch {
    return 'auto';
  }
}

export const theme = signal<Theme>(remembered());
document.documentElement.dataset['theme'] = theme.value;

export function setTheme(next: Theme): void {
  theme.value = next;
  document.documentElement.dataset['theme'] = next;
  try {
    localStorage.setItem(kept, next);
  } catch {
    // a browser that keeps nothing asks again next time
  }
}

/** A colour of the theme in force, for what is drawn. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
