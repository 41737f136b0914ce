/** Sends every UDP datagram back to where it came from. Arguments: ADDRESS:PORT …; one line on stdout when ready. */
import { createSocket } from 'node:dgram';
import { parseTransportAddress } from '../../../src/base/address.js';

const addresses = process.argv.slice(2).map(parseTransportAddress);
await Promise.all(
  addresses.map(({ family, address, port }) => {
    const socket = createSocket(family === 'ipv4' ? 'udp4' : 'udp6');
    socket.on('message', (bytes, from) => {
      socket.send(bytes, from.port, from.address);
    });
    return new Promise<void>((resolve) => socket.bind(port, address, resolve));
  }),
);
process.stdout.write('ready\n');
