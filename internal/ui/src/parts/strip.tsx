import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { Instance } from '../api/types';
import { go, to } from '../data/route';
import { t } from '../i18n';
import { colour, theme } from './theme';

const height = 34; // of a bar at capacity
const most = 4000; // bars that are drawn; a larger kind says what is not

const fills: Record<string, string> = {
  open: 'fill',
  closed: 'dim',
  draining: 'warn',
  drained: 'warn',
  leaving: 'warn',
  lost: 'bad',
  absent: 'bad',
};

/** Where bars stand: as wide as there is room for, between 3 and 26 pixels, in as many lines as it takes. */
export function layout(width: number, count: number): { step: number; perLine: number; lines: number } {
  const step = Math.max(4, Math.min(26, Math.floor(width / Math.max(1, count))));
  const perLine = Math.max(1, Math.floor(width / step));
  return { step, perLine, lines: Math.ceil(count / perLine) };
}

/** A bar for each instance: what it holds against its capacity. The table below says the same in words. */
export function Strip({ kind, items }: { kind: string; items: Instance[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const drawn = items.slice(0, most);
  const shade = theme.value;
  useLayoutEffect(() => {
    const el = canvas.current;
    if (el?.parentElement) make(el, el.parentElement.clientWidth, drawn.length);
  }, [drawn.length]);
  useEffect(() => {
    const el = canvas.current;
    const parent = el?.parentElement;
    if (!el || !parent) return undefined;
    let soon = 0;
    const redraw = () => {
      make(el, parent.clientWidth, drawn.length);
      clearTimeout(soon);
      soon = setTimeout(() => draw(el, drawn)); // the table beside it is drawn first
    };
    const watch = new ResizeObserver(redraw); // which calls once at the start, too
    watch.observe(parent);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', redraw);
    return () => {
      clearTimeout(soon);
      watch.disconnect();
      dark.removeEventListener('change', redraw);
    };
  }, [items, shade]);
  const open = (e: MouseEvent) => {
    const el = canvas.current;
    if (!el) return;
    const box = el.getBoundingClientRect();
    const { step, perLine } = layout(el.clientWidth, drawn.length);
    const at = Math.floor((e.clientY - box.top) / (height + 8)) * perLine + Math.floor((e.clientX - box.left) / step);
    const i = drawn[at];
    if (i) go(to(['kinds', kind, 'instances', String(i.ordinal)]));
  };
  return (
    <figure class="strip">
      <canvas ref={canvas} role="img" aria-label={t('strip.label', { n: drawn.length })} onClick={open} />
      <figcaption>
        <span class="key fill" aria-hidden="true" />
        {t('strip.held')} <span class="key flight" aria-hidden="true" />
        {t('inFlight')} <span class="key warn" aria-hidden="true" />
        {t('strip.leaving')} <span class="key bad" aria-hidden="true" />
        {t('strip.lost')} <span aria-hidden="true">▲ </span>
        {t('strip.unwell')}
        {items.length > most && <strong> {t('strip.left', { n: items.length - most })}</strong>}
      </figcaption>
    </figure>
  );
}

/** Gives the canvas its size, which empties it where that changes. */
function make(el: HTMLCanvasElement, width: number, count: number): void {
  const ratio = devicePixelRatio || 1;
  const tall = layout(width, count).lines * (height + 8);
  el.style.height = `${tall}px`;
  const [w, h] = [Math.round(width * ratio), Math.round(tall * ratio)];
  if (el.width !== w) el.width = w;
  if (el.height !== h) el.height = h;
}

function draw(el: HTMLCanvasElement, items: Instance[]): void {
  const c = el.getContext('2d');
  if (!c) return;
  const ratio = devicePixelRatio || 1;
  const { step, perLine } = layout(Math.round(el.width / ratio), items.length);
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, el.width, el.height);
  const wide = step > 8 ? step - 3 : step - 1;
  const shapes = new Map<string, Path2D>(); // by colour, as a change of colour costs more than a bar
  const of = (tone: string) => {
    let shape = shapes.get(tone);
    if (!shape) shapes.set(tone, (shape = new Path2D()));
    return shape;
  };
  for (const tone of ['track', 'fill', 'dim', 'warn', 'flight', 'bad']) of(tone); // marks are over bars
  items.forEach((i, at) => {
    const x = (at % perLine) * step;
    const base = Math.floor(at / perLine) * (height + 8) + height + 4;
    const whole = Math.max(i.list.capacity, 1);
    const held = Math.min(1, i.list.count / whole) * height;
    const flight = Math.min(1, (i.list.inFlight ?? 0) / whole) * height;
    of('track').rect(x, base - height, wide, height);
    of(fills[i.state] ?? 'fill').rect(x, base - held, wide, held);
    if (flight) of('flight').rect(x, base - held - flight, wide, flight);
    if (i.health.condition !== 'Healthy') mark(of('bad'), x, base - height, wide);
  });
  for (const [tone, shape] of shapes) {
    c.fillStyle = colour(el, tone);
    c.fill(shape);
  }
}

/** A triangle above the bar of an instance that is not healthy: a shape, not a colour alone. */
function mark(shape: Path2D, x: number, top: number, wide: number): void {
  shape.moveTo(x, top + 5);
  shape.lineTo(x + wide / 2, top - 3);
  shape.lineTo(x + wide, top + 5);
  shape.closePath();
}
