import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Of this package's manifest, wherever it was built to. */
export function version(): string {
  for (const up of ['..', '../..'])
    try {
      const manifest = JSON.parse(readFileSync(join(__dirname, up, 'package.json'), 'utf8')) as { version: string };
      return manifest.version;
    } catch {
      // One level further.
    }
  return 'unknown';
}
