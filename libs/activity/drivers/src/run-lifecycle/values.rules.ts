import { RUN_TEXT_MAX } from '@hoc/activity/schemas';
import { invalid, textFault } from '@hoc/shared/kernel';

/** Greatest value of an `integer` column. */
export const INTEGER_MAX = 2_147_483_647;

/** A text of 1 to 8,000 characters. @throws InvalidArgumentError naming the field */
export function assertText(value: unknown, field: string): string {
  const fault = textFault(value, 1, RUN_TEXT_MAX);
  if (fault !== null) throw invalid(field, fault, `${field} must be a text of 1 to ${RUN_TEXT_MAX} characters`);
  return value as string;
}

/** @throws InvalidArgumentError naming the field */
export function assertFlag(value: unknown, field: string): boolean {
  if (typeof value !== 'boolean') throw invalid(field, 'boolean', `${field} must be true or false`);
  return value;
}

/** The checked value, or null where the caller gave none. */
export const optional = <In, Out>(value: In | undefined, check: (value: In) => Out): Out | null =>
  value === undefined ? null : check(value);
