/**
 * One call is one transaction: `work` gets what it works in and its result is the committed result. The spine makes one
 * with `unitOfWork(source, options)`; engines and services see it without knowing what a manager is.
 */
export type UnitOfWorkRunner<M = unknown> = <T>(work: (manager: M) => Promise<T>) => Promise<T>;
