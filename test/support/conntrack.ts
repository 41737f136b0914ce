import { viewOf } from '../../src/base/bytes.js';
import { errnoName, loadLibc, SystemCallError } from '../../src/os/libc.js';
import { inNetworkNamespace } from '../../src/os/namespace.js';

// netlink(7), linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h
const [AF_NETLINK, SOCK_RAW, SOCK_CLOEXEC, NETLINK_NETFILTER] = [16, 3, 0o2000000, 12];
const [NLM_F_REQUEST, NLM_F_ACK] = [1, 4];
const [NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE] = [1, 2];
/** `nlmsghdr`, then `nfgenmsg`: no family, no attribute, so every entry is meant. */
const REQUEST_BYTES = 16 + 4;
/** `nlmsghdr`, then the error as an `int`: 0 is the acknowledgement. */
const ANSWER_BYTES = 16 + 4;

/**
 * Makes a network namespace forget every flow, and with them every mapping of its NAT: what `conntrack -F` does, without
 * the tool. Throws {@link SystemCallError}.
 */
export function forgetFlows(namespace: string): void {
  const { libc, reason } = loadLibc();
  if (!libc) throw new SystemCallError('socket', 'ENOSYS', reason);
  const failed = (syscall: string, errno = libc.errno()): SystemCallError =>
    new SystemCallError(syscall, errnoName(errno), 'to forget flows');
  inNetworkNamespace(namespace, () => {
    const socket = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (socket < 0) throw failed('socket');
    try {
      const memory = libc.allocate(256);
      const view = viewOf(memory.bytes);
      view.setUint32(0, REQUEST_BYTES, true);
      view.setUint16(4, (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE, true);
      view.setUint16(6, NLM_F_REQUEST | NLM_F_ACK, true);
      if (libc.write(socket, memory.address, REQUEST_BYTES) < 0) throw failed('write');
      if (libc.read(socket, memory.address, memory.bytes.length) < ANSWER_BYTES) throw failed('read');
      const error = view.getInt32(16, true);
      if (error !== 0) throw failed('IPCTNL_MSG_CT_DELETE', -error);
    } finally {
      libc.close(socket);
    }
  });
}
