/**
 * An error that a person can act on: a stable code for scripts, what happened, and the next step to take.
 * Codes are kebab-case, never renamed, and listed in docs/errors.md.
 */
export class IcepathError extends Error {
  override readonly name = 'IcepathError';
  readonly code: string;
  /** What the person can do now: one sentence, imperative. */
  readonly nextStep: string;

  constructor(code: string, message: string, nextStep: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.nextStep = nextStep;
  }
}

/** The errno-style code of an unknown thrown value (`ECONNREFUSED`), or `EUNKNOWN`. */
export function errorCode(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return 'EUNKNOWN';
}
