import { errorCode, IcepathError } from '../base/errors.js';

/** What a person does about a TCP port that cannot be listened on. */
export function listenError(error: unknown, host: string, port: number): IcepathError {
  const where = `${host} port ${String(port)}`;
  const options = { cause: error };
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return new IcepathError(
        'port-in-use',
        `Something else listens on ${where}.`,
        'Choose another port with --listen, or end the program that has it.',
        options,
      );
    case 'EACCES':
      return new IcepathError(
        'no-permission',
        `This user may not listen on ${where}.`,
        'Choose a port from 1024 up with --listen.',
        options,
      );
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'ENOTFOUND':
      return new IcepathError(
        'address-not-local',
        `${host} is not an address of this host.`,
        'Take one of the addresses that `icepath interfaces` shows.',
        options,
      );
    default:
      return new IcepathError(
        'cannot-listen',
        `Cannot listen on ${where} (${errorCode(error)}).`,
        'Choose another address and port with --listen.',
        options,
      );
  }
}
