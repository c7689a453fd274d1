import { readFileSync } from 'node:fs';
import { parsePriceTable } from '@hoc/activity';
import type { PriceTable } from '@hoc/activity/schemas';

/** Azure's list price of gpt-4 since 2023-03-14, in cents per million tokens. */
const DEFAULT = {
  version: 1,
  prices: [
    {
      provider: 'azure_openai',
      model: 'gpt-4',
      effective_from: '2023-03-14',
      input_cents_per_million: '3000',
      output_cents_per_million: '6000',
    },
  ],
};

/** The table of a file, or the quickstart's own. @throws InvalidArgumentError naming what is wrong in it */
export function loadPrices(path: string | null): PriceTable {
  return parsePriceTable(path === null ? JSON.stringify(DEFAULT) : readFileSync(path, 'utf8'));
}
