import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Problem } from '../api/client';
import { t } from '../i18n';
import { Failed } from './basic';

interface Props {
  title: string;
  /** What will happen, in words. */
  children: ComponentChildren;
  /** What a person has to tick before it is done, where that is grave. */
  sure?: string;
  /** What the button that does it says. */
  verb: string;
  act: () => Promise<void>;
  close: () => void;
}

/** Asks before something is done. The focus begins at Cancel, and returns to where it was. */
export function Confirm({ title, children, sure, verb, act, close }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const busy = useSignal(false);
  const ticked = useSignal(!sure);
  const problem = useSignal<Problem | undefined>(undefined);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  // Once, and at once: the dialog's own event comes later, when the next question may be there.
  const ended = useRef(false);
  const end = () => {
    if (ended.current) return;
    ended.current = true;
    dialog.current?.close();
    close();
  };
  const run = async () => {
    if (busy.value || !ticked.value) return;
    busy.value = true;
    problem.value = undefined;
    try {
      await act();
      end();
    } catch (err) {
      problem.value = err as Problem;
    }
    busy.value = false;
  };
  return (
    <dialog ref={dialog} aria-labelledby="confirm-title" onClose={end}>
      <h2 id="confirm-title">{title}</h2>
      {children}
      {sure && (
        <label class="tick">
          <input type="checkbox" checked={ticked} onChange={(e) => (ticked.value = e.currentTarget.checked)} />
          {sure}
        </label>
      )}
      {problem.value && <Failed problem={problem.value} />}
      <p class="buttons">
        <button type="button" onClick={end}>
          {t('cancel')}
        </button>
        <button type="button" class="primary" aria-disabled={busy.value || !ticked.value} onClick={() => void run()}>
          {busy.value ? t('doing') : verb}
        </button>
      </p>
    </dialog>
  );
}
