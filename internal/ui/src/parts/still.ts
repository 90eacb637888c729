import { options } from 'preact';

/** Where an element stands in the window, in pixels. */
interface Held {
  element: HTMLElement;
  left: number;
  top: number;
}

/** Whether the last input was a key, and no movement of the pointer. */
let keyed = false;

/** Space above and below the content of main, in pixels, where the page cannot be scrolled far enough. */
let above = 0;
let below = 0;

/** The element that stands beside its place in the line, and by how many pixels. */
let shifted: { element: HTMLElement; by: number } | undefined;

/**
 * From now on no rendering moves the element within main that has the pointer or the focus, whatever becomes higher, lower,
 * wider or narrower before it. Where these are two elements, the one of the last input stays.
 */
export function keepStill(): void {
  const pointer = () => (keyed = false);
  for (const event of ['pointermove', 'pointerdown', 'wheel'])
    document.addEventListener(event, pointer, { capture: true, passive: true });
  document.addEventListener('keydown', () => (keyed = true), { capture: true });
  options.debounceRendering = (render) => queueMicrotask(() => still(render));
}

function still(render: () => void): void {
  const main = document.querySelector('main');
  const before = main ? within(main) : [];
  render();
  const held = before.find(({ element }) => element.isConnected);
  if (shifted && shifted.element !== held?.element) shift(shifted.element, 0);
  if (main && held) restore(main, held);
  else if (main && (above || below)) release(main);
}

/** The elements that are seen and to stay, the innermost first: where it is gone, the one around it stays. */
function within(main: Element): Held[] {
  const pointed = [...main.querySelectorAll<HTMLElement>(':hover')].reverse();
  const focused: HTMLElement[] = [];
  for (let at = document.activeElement; at && at !== main && main.contains(at); at = at.parentElement)
    focused.push(at as HTMLElement);
  return (keyed ? [...focused, ...pointed] : [...pointed, ...focused]).flatMap((element) => {
    const { left, top, bottom } = element.getBoundingClientRect();
    return top < innerHeight && bottom > 0 ? { element, left, top } : [];
  });
}

function restore(main: HTMLElement, { element, left, top }: Held): void {
  const now = element.getBoundingClientRect();
  const beside = shifted?.element === element ? shifted.by : 0;
  if (now.left !== left) shift(element, left - now.left + beside);
  if (now.top === top && !above && !below) return;
  // The page as if it had no space of ours: how far it has to be scrolled, which may be less than nothing.
  const scrolled = now.top + scrollY - above - top;
  const tall = document.documentElement.getBoundingClientRect().height - above - below;
  const scroll = Math.max(0, Math.ceil(scrolled)); // a browser may scroll by whole pixels alone
  const over = scroll - scrolled;
  space(main, over, Math.max(0, scroll + innerHeight - tall - over));
  if (scrollY !== scroll) scrollTo({ top: scroll, behavior: 'instant' });
}

function release(main: HTMLElement): void {
  const scroll = Math.max(0, scrollY - above);
  space(main, 0, 0);
  scrollTo({ top: scroll, behavior: 'instant' });
}

function space(main: HTMLElement, over: number, under: number): void {
  if (over === above && under === below) return;
  [above, below] = [over, under];
  main.style.setProperty('--above', `${above}px`);
  main.style.setProperty('--below', `${below}px`);
}

function shift(element: HTMLElement, by: number): void {
  shifted = by ? { element, by } : undefined;
  element.style.translate = by ? `${by}px` : '';
}
