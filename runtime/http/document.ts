import { HttpApi, type HttpApiGroup, OpenApi } from "effect/http-api"
import type { Module } from "../module/Module.ts"

/** The one cast of the runtime: the type of an API's groups is invariant. */
const open = (api: HttpApi.Constraint) => api as unknown as HttpApi.HttpApi<"galleria", HttpApiGroup.Top>

/** The OpenAPI document of just these modules. */
export const documentOf = (modules: ReadonlyArray<Pick<Module, "api">>) =>
  OpenApi.fromApi(
    modules
      .reduce((whole, module) => whole.addHttpApi(open(module.api)), open(HttpApi.make("galleria")))
      .annotateMerge(OpenApi.annotations({ title: "Galleria", version: "1" })),
  )

/** The methods of each path that is served, with a test for a request's path. */
export const routesOf = (modules: ReadonlyArray<Pick<Module, "api">>) =>
  Object.entries(documentOf(modules).paths).map(([path, item]) => ({
    path,
    test: new RegExp(`^${path.replaceAll(/\{\w+\}/gu, "[^/]+")}/?$`, "u"),
    methods: Object.keys(item).map((method) => method.toUpperCase()),
  }))
