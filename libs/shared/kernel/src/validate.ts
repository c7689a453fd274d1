import 'reflect-metadata';
import { plainToInstance } from 'class-transformer';
import { getFromContainer, ValidateBy, type ValidationError, type ValidationOptions, Validator } from 'class-validator';
import { toDecimalString, ZERO_DECIMAL } from './decimal';
import { HocError, InvalidArgumentError } from './errors';
import { hasHole } from './guards';
import { assertJsonObject } from './json';
import { hasRuleFor, keepsRules } from './keeps-rules';
import { idFault, textFault } from './text';

/** One broken rule: where, and its name. */
export interface FieldFault {
  readonly path: string;
  readonly rule: string;
}

/** Broken rules that a refusal lists, and characters of a path in it: the sender chooses how many keys there are, and which. */
const FAULTS_MAX = 100;
const PATH_MAX = 200;
/** Items of a list of which each becomes an instance, at most. */
const TYPED_MAX = 10_000;

/**
 * A request class filled from `plain` and checked: unknown keys are refused, nothing is converted.
 * @throws InvalidArgumentError whose `details.fields` lists the broken rules, 100 at most, and whose `field` and `reason` are
 * the first one's; values are never echoed
 */
export function validateOrThrow<T extends object>(type: new () => T, plain: unknown): T {
  if (typeof plain !== 'object' || plain === null || Array.isArray(plain) || plain instanceof Date)
    throw refusal([{ path: '', rule: 'object' }]);
  const forbidden = ['__proto__', 'constructor'].find((key) => Object.hasOwn(plain, key));
  if (forbidden !== undefined) throw refusal([{ path: forbidden, rule: 'whitelistValidation' }]);
  const instance = fill(new type(), type, plain);
  if (keepsRules(type, instance)) return instance;
  const errors = getFromContainer(Validator).validateSync(instance, {
    whitelist: true,
    forbidNonWhitelisted: true,
    forbidUnknownValues: true,
    validationError: { target: false, value: false },
  });
  if (errors.length > 0) throw refusal(errors.flatMap((error) => faultsOf(error, '')));
  return instance;
}

/**
 * Sets the members as they are, except those that the class types with `@Type`. class-transformer never walks open-ended
 * details: it calls what it finds under `constructor`, and drops `__proto__`.
 */
function fill<T extends object>(instance: T, type: new () => T, plain: object): T {
  for (const [key, value] of Object.entries(plain))
    if (value !== undefined) Reflect.set(instance, key, typed(type, key, value));
  return instance;
}

function typed<T extends object>(type: new () => T, key: string, value: unknown): unknown {
  if (value instanceof Date) return new Date(value.getTime());
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value) && hasHole(value)) throw refusal([{ path: key, rule: 'isDense' }]);
  if (!isTyped(type, key)) return value;
  if (Array.isArray(value) && value.length > TYPED_MAX) throw refusal([{ path: key, rule: 'arrayMaxSize' }]);
  return transformed(type, key, value);
}

/** Kept for the members that the class has rules for: all other keys are the sender's choice. */
function isTyped<T extends object>(type: new () => T, key: string): boolean {
  if (!hasRuleFor(type, key)) return becomesTyped(type, key);
  let keys = typedKeys.get(type);
  if (keys === undefined) typedKeys.set(type, (keys = new Map()));
  let typed = keys.get(key);
  if (typed === undefined) keys.set(key, (typed = becomesTyped(type, key)));
  return typed;
}

const typedKeys = new WeakMap<new () => object, Map<string, boolean>>();

/** Asked with an empty object: walking a value that no class awaits takes seconds for a long list. */
const becomesTyped = <T extends object>(type: new () => T, key: string): boolean =>
  isOfAClass(transformed(type, key, {}));

function transformed<T extends object>(type: new () => T, key: string, value: object): unknown {
  try {
    return Reflect.get(plainToInstance(type, { [key]: value }, { enableImplicitConversion: false }), key);
  } catch {
    return value;
  }
}

/** Made by `@Type`; plain objects of another realm are one step below null too. */
function isOfAClass(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype !== null && Object.getPrototypeOf(prototype) !== null;
}

/** An opaque identifier of 1–`max` code points: no control character, not only white space, no lone surrogate. */
export const IsIdText = (max: number, options?: ValidationOptions): PropertyDecorator =>
  rule('isIdText', (value) => idFault(value, max) === null, options);

/** A text of `min`–`max` code points without U+0000 and lone surrogates. */
export const IsPlainText = (min: number, max: number, options?: ValidationOptions): PropertyDecorator =>
  rule('isPlainText', (value) => textFault(value, min, max) === null, options);

/** A decimal text, not negative, of at most 14 integer and 6 fraction digits; a JSON number isn't accepted. */
export const IsMoneyText = (options?: ValidationOptions): PropertyDecorator =>
  rule(
    'isMoneyText',
    (value) => typeof value === 'string' && !value.startsWith('-') && passes(() => toDecimalString(value)),
    options,
  );

/** As {@link IsMoneyText}, and above zero. */
export const IsPositiveMoneyText = (options?: ValidationOptions): PropertyDecorator =>
  rule(
    'isPositiveMoneyText',
    (value) =>
      typeof value === 'string' &&
      !value.startsWith('-') &&
      passes(() => toDecimalString(value)) &&
      toDecimalString(value) !== ZERO_DECIMAL,
    options,
  );

/** A plain JSON object within the limits of `assertJsonObject`. */
export const IsJsonObject = (options?: ValidationOptions): PropertyDecorator =>
  rule('isJsonObject', (value) => passes(() => assertJsonObject(value, 'value')), options);

function rule(name: string, validate: (value: unknown) => boolean, options?: ValidationOptions): PropertyDecorator {
  return ValidateBy({ name, validator: { validate, defaultMessage: () => name } }, options);
}

function passes(check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (HocError.is(error)) return false;
    throw error;
  }
}

function faultsOf(error: ValidationError, parent: string): FieldFault[] {
  const path = parent === '' ? error.property : `${parent}.${error.property}`;
  const own = Object.keys(error.constraints ?? {}).map((name) => ({ path, rule: name }));
  return [...own, ...(error.children ?? []).flatMap((child) => faultsOf(child, path))];
}

function refusal(broken: readonly FieldFault[]): InvalidArgumentError {
  const faults = broken.slice(0, FAULTS_MAX).map(({ path, rule: name }) => ({ path: shown(path), rule: name }));
  const [first = { path: '', rule: 'unknown' }] = faults;
  const names = [...new Set(faults.map((fault) => fault.path || 'the request'))].slice(0, 10).join(', ');
  return new InvalidArgumentError(`invalid request: ${names}`, {
    details: {
      field: first.path,
      reason: first.rule,
      fields: faults,
    },
  });
}

const shown = (path: string): string => (path.length > PATH_MAX ? `${path.slice(0, PATH_MAX)}…` : path);
