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
  /** What the button that does it says. */
  verb: string;
  act: () => Promise<void>;
  close: () => void;
}

/** Asks before something is done. The focus begins at Cancel, and returns to where it was. */
export function Confirm({ title, children, verb, act, close }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const busy = useSignal(false);
  const problem = useSignal<Problem | undefined>(undefined);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const run = async () => {
    if (busy.value) return;
    busy.value = true;
    problem.value = undefined;
    try {
      await act();
      dialog.current?.close();
    } catch (err) {
      problem.value = err as Problem;
    }
    busy.value = false;
  };
  return (
    <dialog ref={dialog} aria-labelledby="confirm-title" onClose={close}>
      <h2 id="confirm-title">{title}</h2>
      {children}
      {problem.value && <Failed problem={problem.value} />}
      <p class="buttons">
        <button type="button" onClick={() => dialog.current?.close()}>
          {t('cancel')}
        </button>
        <button type="button" class="primary" aria-disabled={busy.value} onClick={() => void run()}>
          {busy.value ? t('doing') : verb}
        </button>
      </p>
    </dialog>
  );
}
