import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Entry } from '../api/types';
import { lang, locale, n, t } from '../i18n';
import { word } from './basic';
import { colour, theme } from './theme';

/** A line of the chart: its name, what it is at a sample, and how it is drawn: by colour and by dashes. */
interface Line {
  name: string;
  shade: string;
  dash: number[];
  values: (number | null)[];
}

const dashes = [
  [2, 2],
  [8, 3],
  [8, 3, 2, 3],
  [12, 4],
  [4, 4],
  [1, 3],
];
const shades = ['flight', 'warn', 'good', 'bad', 'dim', 'pool'];

/** Sizes and signals as lines, decisions as triangles, moves as bars below, of the last day on one axis. */
export function Chart({ entries }: { entries: Entry[] }) {
  const box = useRef<HTMLDivElement>(null);
  const { times, lines, moves, decisions } = series(entries);
  const language = lang.value;
  const shade = theme.value;
  useEffect(() => {
    const el = box.current;
    if (!el) return undefined;
    let plot = draw(el, times, lines, moves, decisions);
    const again = () => {
      plot.destroy();
      plot = draw(el, times, lines, moves, decisions);
    };
    const resize = new ResizeObserver(() => plot.setSize({ width: el.clientWidth, height: 320 }));
    resize.observe(el);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', again);
    return () => {
      resize.disconnect();
      dark.removeEventListener('change', again);
      plot.destroy();
    };
  }, [entries, language, shade]);
  return (
    <figure class="chart">
      <div ref={box} role="img" aria-label={t('chart.label')} />
      <figcaption>
        <ul class="keys">
          {lines.map((l) => (
            <li key={l.name}>
              <Dash line={l} /> {l.name}
            </li>
          ))}
          <li>
            <span class="key fill" aria-hidden="true" />
            {t('chart.moves')}
          </li>
          <li>
            <span aria-hidden="true">▲▼ </span>
            {t('chart.decisions')}
          </li>
        </ul>
      </figcaption>
    </figure>
  );
}

/** A piece of the line as the chart draws it. */
function Dash({ line }: { line: Line }) {
  return (
    <svg width="28" height="8" aria-hidden="true">
      <line
        x1="0"
        y1="4"
        x2="28"
        y2="4"
        stroke={`var(--${line.shade})`}
        stroke-width="2"
        stroke-dasharray={line.dash.join(' ')}
      />
    </svg>
  );
}

function series(entries: Entry[]) {
  const at = (e: Entry) => Date.parse(e.at) / 1000;
  const rows = entries.filter((e) => e.sample || e.moves || e.gap);
  const times = rows.map(at);
  const pick = (value: (e: Entry) => number | undefined) =>
    rows.map((e) => (e.gap ? null : ((e.sample && value(e)) ?? undefined))) as (number | null)[];
  const signals = [...new Set(rows.flatMap((e) => Object.keys(e.sample?.signals ?? {})))].sort();
  const lines: Line[] = [
    { name: t('size'), shade: 'text', dash: [], values: pick((e) => e.sample?.replicas) },
    { name: t('desired'), shade: 'fill', dash: [6, 3], values: pick((e) => e.sample?.desired) },
    ...signals.map((s, i) => ({
      name: word('signal', s),
      shade: shades[i % shades.length] ?? 'dim',
      dash: dashes[i % dashes.length] ?? [],
      values: pick((e) => e.sample?.signals?.[s]),
    })),
  ];
  const moves = rows.map((e) => e.moves?.count ?? null);
  const decisions = entries
    .filter((e) => e.decision && e.decision.verb !== 'keep')
    .map((e) => ({ at: at(e), verb: e.decision?.verb ?? '', size: e.decision?.desired ?? 0 }));
  return { times, lines, moves, decisions };
}

function draw(
  el: HTMLElement,
  times: number[],
  lines: Line[],
  moves: (number | null)[],
  decisions: { at: number; verb: string; size: number }[],
): uPlot {
  const clock = new Intl.DateTimeFormat(locale(), { hour: '2-digit', minute: '2-digit' });
  const shade = (name: string) => colour(el, name);
  const [text, soft, grid, bar] = [shade('text'), shade('soft'), shade('line'), shade('fill')];
  const axis = {
    stroke: soft,
    grid: { stroke: grid, width: 1 },
    ticks: { stroke: grid, width: 1 },
    font: '12px system-ui, sans-serif',
  };
  const marks = (u: uPlot) => {
    const c = u.ctx;
    c.fillStyle = text;
    for (const d of decisions) {
      const [x, y, r] = [u.valToPos(d.at, 'x', true), u.valToPos(d.size, 'size', true), 5 * devicePixelRatio];
      const way = d.verb === 'shrink' ? 1 : -1;
      c.beginPath();
      if (d.verb === 'still') c.rect(x - r / 2, y - r / 2, r, r);
      else {
        c.moveTo(x, y + way * r);
        c.lineTo(x - r, y - way * r);
        c.lineTo(x + r, y - way * r);
      }
      c.fill();
    }
  };
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  const bars = uPlot.paths.bars?.({ size: [0.6, 8, 2] });
  const options: uPlot.Options = {
    width: el.clientWidth,
    height: 320,
    legend: { show: false },
    cursor: { y: false },
    hooks: { draw: [marks] },
    scales: {
      size: { range: (_u, _min, max) => [0, Math.max(1, max * 1.1)] },
      moves: { range: (_u, _min, max) => [0, Math.max(1, max * 4)] }, // they stand in the lowest quarter
    },
    axes: [
      {
        ...axis,
        space: 84, // "10:29 AM" is 60 wide
        incrs: [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440].map((minutes) => minutes * 60),
        values: (_u, splits) => splits.map((s) => clock.format(new Date(s * 1000))),
      },
      { ...axis, scale: 'size', size: 56, values: (_u, splits) => splits.map((s) => n(s)) },
      {
        ...axis,
        scale: 'moves',
        side: 1,
        size: 68,
        grid: { show: false },
        values: (_u, splits) => splits.map((s) => n(s)),
      },
    ],
    series: [
      {},
      {
        scale: 'moves',
        fill: `color-mix(in srgb, ${bar} 33%, transparent)`,
        stroke: bar,
        ...(bars && { paths: bars }),
        points: { show: false },
      },
      ...lines.map((l) => ({
        scale: 'size',
        stroke: shade(l.shade),
        width: 2,
        dash: l.dash,
        points: { show: false },
        ...(stepped && { paths: stepped }),
      })),
    ],
  };
  return new uPlot(options, [times, moves, ...lines.map((l) => l.values)] as uPlot.AlignedData, el);
}
