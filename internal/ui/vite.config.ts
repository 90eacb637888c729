import { defineConfig } from 'vite';

// The output depends on the sources and the lock file alone: names carry a hash of the content.
export default defineConfig({
  base: './',
  build: {
    cssCodeSplit: false,
    outDir: 'dist',
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  worker: { format: 'es' },
});
