/** Where to ask a server that listens on `host`: of an address that stands for all, the one of this machine. */
export const urlOf = (host: string, port: number): string => {
  const plain = host.replace(/^\[(.*)\]$/u, "$1")
  const called = plain === "0.0.0.0" ? "127.0.0.1" : plain === "::" ? "::1" : plain
  return `http://${called.includes(":") ? `[${called}]` : called}:${port}`
}
