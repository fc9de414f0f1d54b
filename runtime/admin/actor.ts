import { Effect } from "effect"
import { HttpServerRequest } from "effect/http"

/** More of a name is not kept. */
const mostCharacters = 60

/** Who asks: the name in `X-Actor`, else `token` or `loopback`, by how the request is allowed. */
export const actorOf = (headers: Readonly<Record<string, string | undefined>>): string => {
  const name = (headers["x-actor"] ?? "")
    .replace(/[\u0000-\u001f\u007f-\u009f]+/gu, " ")
    .trim()
    .slice(0, mostCharacters)
  return name === "" ? (headers["authorization"] === undefined ? "loopback" : "token") : name
}

export const actor = Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }) => actorOf(headers))
