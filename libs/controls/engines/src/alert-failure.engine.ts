import { ALERT_ERROR_MAX, type ClaimedAlert } from '@hoc/controls/schemas';
import type { JsonValue } from '@hoc/shared/kernel';

/**
 * Why a send failed, as it may be stored and shown: one line of at most 500 characters, the error's name, message and code.
 * Without the alert's payload, which a receiver may have echoed; of a URL only scheme and host, because the path of a
 * webhook is its password; without what looks like a credential. Pure; never throws, whatever was thrown.
 */
export function alertFailureText(error: unknown, alert: Pick<ClaimedAlert, 'payload'>): string {
  let said: string;
  try {
    said = saidBy(error);
  } catch {
    said = 'the transport threw an error that can not be read';
  }
  return oneLine(withoutCredentials(withoutUrls(withoutPayload(said, alert.payload))));
}

/** A longer message is a document, and none of our business. */
const MESSAGE_MAX = 10_000;
const CODE = /^[A-Z][A-Z0-9_]{0,49}$/;

function saidBy(error: unknown): string {
  if (!isErrorLike(error)) return 'the transport threw what is no error';
  const { message } = error;
  const code = codeOf(error) ?? codeOf(error.cause);
  return [
    typeof error.name === 'string' ? error.name : 'Error',
    message.length > MESSAGE_MAX ? `: a message of ${message.length} characters` : `: ${message}`,
    code === null || message.includes(code) ? '' : ` (${code})`,
  ].join('');
}

/** By its shape: an error of another realm (a vm, a test runner) is no `instanceof` this one's. */
const isErrorLike = (
  value: unknown,
): value is { readonly message: string; readonly name?: unknown; readonly cause?: unknown } =>
  typeof value === 'object' && value !== null && typeof Reflect.get(value, 'message') === 'string';

/** `ECONNREFUSED` and the like: fetch tells it of its cause alone. */
function codeOf(value: unknown): string | null {
  const code: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'code') : undefined;
  return typeof code === 'string' && CODE.test(code) ? code : null;
}

/** Its texts wherever they stand, and everything from where JSON may begin. */
function withoutPayload(text: string, payload: readonly JsonValue[]): string {
  const leaves = [...new Set(payload.flatMap(linesOf))].sort((a, b) => b.length - a.length);
  const rest = leaves.reduce((left, leaf) => left.replaceAll(leaf, '…'), text);
  const json = rest.search(/[[{]/);
  return json < 0 ? rest : `${rest.slice(0, json)}…`;
}

/** Shorter texts say nothing by themselves, and would take words out of every message. */
const LEAF_MIN = 8;

/** Every line of every text of a JSON value, as it is and as JSON writes it. */
function linesOf(value: JsonValue): readonly string[] {
  if (typeof value === 'string')
    return value
      .split(/[\r\n]+/)
      .flatMap((line) => [line, JSON.stringify(line).slice(1, -1)])
      .filter((line) => line.length >= LEAF_MIN);
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(linesOf);
}

const withoutUrls = (text: string): string =>
  text.replace(/([a-z][a-z0-9+.-]{0,30}:\/\/)([^\s'"<>]*)/gi, (_url, scheme: string, rest: string) => {
    const authority = rest.split(/[/?#]/, 1)[0] ?? '';
    // An @ behind the authority: a password with a slash in it, and what stands before the slash is no host.
    if (rest.lastIndexOf('@') >= authority.length) return `${scheme}…`;
    const host = authority.slice(authority.lastIndexOf('@') + 1);
    return rest.length > authority.length ? `${scheme}${host}/…` : `${scheme}${host}`;
  });

const SECRET = 'token|secret|passw|pwd|api[-_]?key|authorization|signature|credential';

const withoutCredentials = (text: string): string =>
  text
    .replace(/\b(bearer|basic)\s+[^\s,;]+/gi, '$1 …')
    .replace(new RegExp(`([\\w-]{0,40}(?:${SECRET})[\\w-]{0,40}["']?\\s{0,3}[:=]\\s{0,3})[^\\s,;]+`, 'gi'), '$1…');

/** PostgreSQL holds neither U+0000 nor half a surrogate pair, and a line break would break a log. */
function oneLine(text: string): string {
  const clean = text
    .replace(/\p{Surrogate}/gu, '\uFFFD')
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim();
  const points = [...clean];
  return points.length > ALERT_ERROR_MAX ? `${points.slice(0, ALERT_ERROR_MAX - 1).join('')}…` : clean;
}
