import { useSignal } from '@preact/signals';
import type { Problem } from '../api/client';
import { session, signIn, stranger } from '../data/session';
import { t } from '../i18n';
import { Failed, Server, Title } from '../parts/basic';

/** Takes a token and makes it a session. */
export function SignIn() {
  const token = useSignal('');
  const problem = useSignal<Problem | undefined>(undefined);
  const busy = useSignal(false);
  const submit = async (e: Event) => {
    e.preventDefault();
    if (busy.value) return;
    busy.value = true;
    problem.value = undefined;
    try {
      await signIn(token.value.trim());
    } catch (err) {
      problem.value = err as Problem;
    }
    busy.value = false;
  };
  return (
    <>
      <Title>{t('signin')}</Title>
      {session.value?.user && <p>{t('signin.as', { user: session.value.user })}</p>}
      {problem.value && <Failed problem={problem.value} />}
      {stranger.value && !problem.value && (
        <p class="stranger">
          {t('error.401')} <Server>{stranger.value}</Server>
        </p>
      )}
      <p>{t('signin.is')}</p>
      <form class="filters" onSubmit={(e) => void submit(e)}>
        <label class="wide">
          {t('signin.token')}
          <input
            type="password"
            autocomplete="off"
            required
            maxLength={2800}
            value={token}
            onInput={(e) => (token.value = e.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary" aria-disabled={busy.value}>
          {busy.value ? t('doing') : t('signin.do')}
        </button>
      </form>
    </>
  );
}
