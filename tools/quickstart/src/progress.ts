import { Presets, SingleBar } from 'cli-progress';

/** Progress of one long piece of work. */
export interface Progress {
  readonly start: (total: number, label: string, unit?: string) => void;
  readonly update: (done: number, rows: number) => void;
  readonly stop: () => void;
}

const LINE_EVERY_MS = 2000;

/** A bar where standard error is a terminal, a plain line every two seconds where it is not. */
export function createProgress(stderr: NodeJS.WriteStream): Progress {
  return stderr.isTTY ? bar(stderr) : lines(stderr);
}

function bar(stream: NodeJS.WriteStream): Progress {
  const format = '{label} {bar} {percentage}% | {rows} {unit} | {rate}/s';
  const widget = new SingleBar({ format, stream, hideCursor: true, clearOnComplete: false }, Presets.shades_classic);
  let began = 0;
  return {
    start: (total, label, unit = 'calls') => {
      began = Date.now();
      widget.start(Math.max(total, 1), 0, { label, unit, rows: 0, rate: 0 });
    },
    update: (done, rows) => widget.update(done, { rows, rate: rateOf(rows, began) }),
    stop: () => widget.stop(),
  };
}

function lines(stream: NodeJS.WriteStream): Progress {
  let [began, last, label, unit, seen] = [0, 0, '', 'calls', 0];
  const say = (): void => {
    stream.write(`${label}: ${seen} ${unit}, ${rateOf(seen, began)}/s\n`);
  };
  return {
    start: (_total, what, of = 'calls') => {
      [began, last, label, unit, seen] = [Date.now(), Date.now(), what, of, 0];
    },
    update: (_done, rows) => {
      seen = rows;
      if (Date.now() - last < LINE_EVERY_MS) return;
      last = Date.now();
      say();
    },
    stop: () => {
      if (seen > 0) say();
    },
  };
}

const rateOf = (rows: number, began: number): number => Math.round(rows / Math.max((Date.now() - began) / 1000, 0.001));
