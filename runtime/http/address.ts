/** The URL of a server that listens on `host`. A wildcard address becomes the loopback address. */
export const urlOf = (host: string, port: number): string => {
  const plain = host.replace(/^\[(.*)\]$/u, "$1")
  const called = plain === "0.0.0.0" ? "127.0.0.1" : plain === "::" ? "::1" : plain
  return `http://${called.includes(":") ? `[${called}]` : called}:${port}`
}
