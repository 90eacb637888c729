import { locale, t } from '../i18n';

/** Reads a duration as the API writes it: 1h2m3.5s, 90s, 250ms. Milliseconds; NaN for anything else. */
export function parseDuration(text: string): number {
  const units: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, µs: 1e-3, us: 1e-3, ns: 1e-6 };
  let total = 0;
  let rest = text.replace(/^-/, '');
  if (rest === '0') return 0;
  if (!rest) return NaN;
  while (rest) {
    const part = /^(\d+(?:\.\d+)?)(h|ms|m|s|µs|us|ns)/.exec(rest);
    if (!part?.[1] || !part[2]) return NaN;
    total += Number(part[1]) * (units[part[2]] ?? NaN);
    rest = rest.slice(part[0].length);
  }
  return text.startsWith('-') ? -total : total;
}

/** Says a duration in the two largest units that matter: 3 h 20 min, 45 s. */
export function say(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return t('time.seconds', { n: s });
  const m = Math.floor(s / 60);
  if (m < 10 && s % 60) return t('time.minutesSeconds', { m, s: s % 60 });
  if (m < 60) return t('time.minutes', { n: m });
  const h = Math.floor(m / 60);
  if (h < 48) return m % 60 ? t('time.hoursMinutes', { h, m: m % 60 }) : t('time.hours', { n: h });
  return t('time.days', { n: Math.floor(h / 24) });
}

/** Says a duration of the API. */
export function sayText(duration: string): string {
  const ms = parseDuration(duration);
  return Number.isNaN(ms) ? duration : say(ms);
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** A time of the day with its date, in the reader's zone. */
export function stamp(iso: string | number): string {
  let f = formats.get(locale());
  if (!f) formats.set(locale(), (f = new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeStyle: 'medium' })));
  return f.format(new Date(iso));
}
