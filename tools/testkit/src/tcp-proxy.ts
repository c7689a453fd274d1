import { createServer, connect, type AddressInfo, type Socket } from 'node:net';

/** A TCP proxy before the server, to lose connections on purpose. */
export interface TcpProxy {
  /** The target's URL through the proxy. */
  readonly url: string;
  /** Cuts every open connection. */
  readonly drop: () => void;
  /** From now on passes nothing more in either direction, on new connections neither: half-open ones. */
  readonly freeze: () => void;
  /** From now on the server's answers are lost, while what clients send still arrives. */
  readonly freezeReplies: () => void;
  /** Calls back with each chunk that a client sends, before it goes on. */
  readonly onClientData: (listener: ((chunk: Buffer) => void) | null) => void;
  readonly close: () => Promise<void>;
}

/** A proxy on 127.0.0.1 before the database of `targetUrl`. */
export async function tcpProxy(targetUrl: string): Promise<TcpProxy> {
  const target = new URL(targetUrl);
  const sockets = new Set<Socket>();
  const upstreams = new Set<Socket>();
  let frozen = false;
  let listener: ((chunk: Buffer) => void) | null = null;
  const server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname);
    upstreams.add(upstream);
    upstream.on('close', () => upstreams.delete(upstream));
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    }
    if (!frozen) client.on('data', (chunk) => listener?.(chunk as Buffer));
    if (frozen) client.pause();
    else client.pipe(upstream).pipe(client);
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = new URL(targetUrl);
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.toString(),
    freezeReplies: () => upstreams.forEach((upstream) => upstream.unpipe().resume()),
    drop: () => sockets.forEach((socket) => socket.destroy()),
    freeze: () => {
      frozen = true;
      sockets.forEach((socket) => socket.unpipe().pause());
    },
    onClientData: (next) => {
      listener = next;
    },
    close: () =>
      new Promise<void>((resolve) => {
        sockets.forEach((socket) => socket.destroy());
        server.close(() => resolve());
      }),
  };
}
