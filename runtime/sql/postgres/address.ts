import { existsSync } from "node:fs"

/** The address in a URL, without user, password and options: may be logged. */
export interface Address {
  readonly host: string
  readonly port: number
  readonly database: string
}

const tlsModes = new Set(["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])

/** Why a URL of a PostgreSQL database is invalid; undefined when it is valid. Never quotes the URL, which has a password. */
export const faultInUrl = (text: string): string | undefined => {
  const expected = "expected a URL such as postgres://user:password@host:5432/database"
  const url = URL.parse(text)
  if (url === null || !/^postgres(?:ql)?:$/u.test(url.protocol)) return expected
  try {
    for (const part of [url.username, url.password, url.hostname, url.pathname]) decodeURIComponent(part)
  } catch {
    return "the URL has a % that begins no %-encoding; write it as %25"
  }
  const { searchParams } = url
  if (url.username === "" && !searchParams.has("user")) return `it names no user; ${expected}`
  const tls = searchParams.get("sslmode")
  if (tls !== null && !tlsModes.has(tls)) return `its sslmode is none of ${[...tlsModes].join(", ")}`
  const authorities = searchParams.get("sslrootcert")
  if (authorities !== null && !existsSync(authorities)) return "its sslrootcert names no file"
  return undefined
}

/** The address in a valid URL, by libpq's rules. */
export const addressOf = (text: string): Address => {
  const { hostname, port, pathname, username, searchParams } = new URL(text)
  const host = searchParams.get("host") ?? decodeURIComponent(hostname)
  return {
    host: host === "" ? "localhost" : host.replace(/^\[(.*)\]$/u, "$1"),
    port: Number(searchParams.get("port") ?? (port === "" ? 5432 : port)),
    database:
      searchParams.get("dbname") ??
      (decodeURIComponent(pathname.slice(1)) || (searchParams.get("user") ?? decodeURIComponent(username))),
  }
}

/** For messages: `host:port/database`. */
export const nameOf = ({ host, port, database }: Address) => `${host}:${port}/${database}`
