import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'src/api/schema.d.ts'] },
  ...tseslint.configs.recommended,
  {
    rules: { eqeqeq: 'error', 'no-console': 'error', '@typescript-eslint/consistent-type-imports': 'error' },
  },
);
