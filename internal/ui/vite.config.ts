import { defineConfig, type Plugin } from 'vite';

/** Has the browser fetch the page's main part beside the first one, which begins to listen and then imports it. */
const preload: Plugin = {
  name: 'preload-main',
  transformIndexHtml: {
    order: 'post',
    handler: (_, { bundle }) =>
      Object.values(bundle ?? {})
        .filter((c) => c.type === 'chunk' && c.name === 'main')
        .map((c) => ({
          tag: 'link',
          attrs: { rel: 'modulepreload', crossorigin: true, href: `./${c.fileName}` },
          injectTo: 'head' as const,
        })),
  },
};

// The output depends on the sources and the lock file alone: names carry a hash of the content.
export default defineConfig({
  base: './',
  plugins: [preload],
  build: {
    cssCodeSplit: false,
    outDir: 'dist',
    target: 'es2022',
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'], // the first with light-dark()
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  worker: { format: 'es' },
});
