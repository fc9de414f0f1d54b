import { describe, expect, it } from "vitest"
import { isOwnPage, makeSessions, sessionCookies, sessionSeconds, setSession } from "./session.ts"

const sessions = makeSessions("a token")

describe("A session", () => {
  it("has the name given at login, until it expires", () => {
    const value = sessions.issue("Zoë · ops", 5_000)
    expect(sessions.nameIn(value, 5_000)).toBe("Zoë · ops")
    expect(sessions.nameIn(value, 5_000 + sessionSeconds * 1_000 - 1)).toBe("Zoë · ops")
    expect(sessions.nameIn(value, 5_000 + sessionSeconds * 1_000)).toBeUndefined()
  })

  it("is not valid after any change of it, nor with another token", () => {
    const value = sessions.issue("ops", 0)
    for (let at = 0; at < value.length; at++) {
      const changed = `${value.slice(0, at)}${value[at] === "A" ? "B" : "A"}${value.slice(at + 1)}`
      // The last character of base64url has bits that are not part of the signature.
      if (at < value.length - 1) expect([changed, sessions.nameIn(changed, 0)]).toEqual([changed, undefined])
    }
    for (const other of ["", ".", "v1", "v1.9999999999.b3Bz.x.", value.slice(0, value.lastIndexOf(".") + 1)]) {
      expect(sessions.nameIn(other, 0)).toBeUndefined()
    }
    expect(makeSessions("another token").nameIn(value, 0)).toBeUndefined()
  })

  it("is a cookie that scripts and other sites cannot read, bound to the host over TLS", () => {
    expect(setSession("x", false)).toBe("galleria_console=x; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict")
    expect(setSession("", true)).toBe("__Host-galleria_console=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure")
    expect(sessionCookies("a=b; galleria_console=x;__Host-galleria_console=y; xgalleria_console=z")).toEqual([
      { value: "y", isSecure: true },
      { value: "x", isSecure: false },
    ])
    expect(sessionCookies(undefined)).toEqual([])
  })
})

describe("A page of the console", () => {
  const host = "localhost:8000"
  const post = (headers: Record<string, string>, isSecure = false) =>
    isOwnPage({ method: "POST", headers: { host, ...headers } }, isSecure)

  it("may change things by its own origin alone", () => {
    expect(post({ origin: "http://localhost:8000" })).toBe(true)
    expect(post({ origin: "http://localhost:8000", "sec-fetch-site": "same-origin" })).toBe(true)
    expect(post({ origin: "https://localhost:8000" }, true)).toBe(true)
    expect(post({})).toBe(false)
    expect(post({ origin: "null" })).toBe(false)
    expect(post({ origin: "http://localhost:8025" })).toBe(false)
    expect(post({ origin: "https://localhost:8000" })).toBe(false)
    expect(post({ origin: "http://localhost:8000" }, true)).toBe(false)
    expect(post({ origin: "http://localhost:8000", "sec-fetch-site": "same-site" })).toBe(false)
  })

  it("may be opened by an address or from a bookmark, and not be read by another site", () => {
    const get = (site?: string) =>
      isOwnPage({ method: "GET", headers: { host, ...(site === undefined ? {} : { "sec-fetch-site": site }) } }, false)
    expect([undefined, "none", "same-origin", "same-site", "cross-site"].map(get)).toEqual([
      true,
      true,
      true,
      false,
      false,
    ])
  })
})
