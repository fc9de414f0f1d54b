import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto"

/** How long a session of the console lasts. */
export const sessionSeconds = 12 * 60 * 60

/** The most characters of the name that is given at login. */
export const mostName = 60

/** The cookie over plain HTTP, and over TLS, where browsers accept it from this very host only. */
const cookies = { plain: "galleria_console", secure: "__Host-galleria_console" } as const

export interface SessionCookie {
  readonly value: string
  /** Whether a browser sent it over TLS. */
  readonly isSecure: boolean
}

/** The session cookies of a request, the one for TLS first. */
export const sessionCookies = (header: string | undefined): ReadonlyArray<SessionCookie> => {
  const pairs = (header ?? "").split(";").map((pair) => pair.trim())
  return [cookies.secure, cookies.plain].flatMap((name) =>
    pairs
      .filter((pair) => pair.startsWith(`${name}=`))
      .map((pair) => ({ value: pair.slice(name.length + 1), isSecure: name === cookies.secure })),
  )
}

/** `Set-Cookie` of a session; an empty value ends it. */
export const setSession = (value: string, isSecure: boolean) =>
  [
    `${isSecure ? cookies.secure : cookies.plain}=${value}`,
    "Path=/",
    `Max-Age=${value === "" ? 0 : sessionSeconds}`,
    "HttpOnly",
    "SameSite=Strict",
    ...(isSecure ? ["Secure"] : []),
  ].join("; ")

/**
 * Sessions that are signed with a key derived from the admin token. Nothing is stored: they outlive a restart, and all of
 * them end when the token changes.
 */
export const makeSessions = (token: string) => {
  const key = Buffer.from(hkdfSync("sha256", token, "", "galleria console session", 32))
  const signatureOf = (text: string) => createHmac("sha256", key).update(text).digest()

  /** The value of a cookie: `v1.expiry.name.nonce.signature`. */
  const issue = (name: string, now: number) => {
    const text = [
      "v1",
      Math.floor(now / 1_000) + sessionSeconds,
      Buffer.from(name).toString("base64url"),
      randomBytes(12).toString("base64url"),
    ].join(".")
    return `${text}.${signatureOf(text).toString("base64url")}`
  }

  /** The name in a session that is genuine and has not expired. */
  const nameIn = (value: string, now: number): string | undefined => {
    const end = value.lastIndexOf(".")
    const [version, expiry, name] = value.split(".")
    const given = Buffer.from(value.slice(end + 1), "base64url")
    const right = signatureOf(value.slice(0, Math.max(end, 0)))
    if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined
    if (version !== "v1" || Number(expiry) * 1_000 <= now) return undefined
    return Buffer.from(name!, "base64url").toString()
  }

  return { issue, nameIn }
}

interface Asked {
  readonly method: string
  readonly headers: Readonly<Record<string, string | undefined>>
}

/** Whether a request with a session comes from a page of this very origin. Another port of the host is another origin. */
export const isOwnPage = ({ method, headers }: Asked, isSecure: boolean) => {
  const site = headers["sec-fetch-site"]
  if (method === "GET" || method === "HEAD") return site !== "cross-site" && site !== "same-site"
  const own = URL.parse(`${isSecure ? "https" : "http"}://${headers["host"] ?? ""}`)?.origin
  return headers["origin"] === own && (site === undefined || site === "same-origin")
}
