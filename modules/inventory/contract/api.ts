import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { InvalidCursor, page, PageQuery } from "../../../runtime/http/Page.ts"
import { declare, Edge } from "../../../runtime/http/Problem.ts"
import { text } from "../../Text.ts"
import { ProductId, ProductIdText } from "./ids.ts"

export class ProductNotFound extends declare<ProductNotFound>()(
  "ProductNotFound",
  { slug: "product-not-found", status: 404, title: "Product not found", detail: "There is no product with this id." },
  { product_id: ProductId },
) {}

export class StockBelowReserved extends declare<StockBelowReserved>()(
  "StockBelowReserved",
  {
    slug: "stock-below-reserved",
    status: 409,
    title: "Stock below reserved",
    detail: "More units than this are held for orders.",
  },
  { product_id: ProductId, reserved: Schema.Natural.annotate({ examples: [3] }) },
) {}

/** The greatest stock that can be set. */
const mostStock = 1_000_000_000

const product_name = text(200).annotate({ examples: ["Gaming Laptop"] })

export const NewStock = Schema.Struct({
  product_name,
  stock: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: mostStock })).annotate({
    description: "Units on hand, including those held for orders.",
    examples: [50],
  }),
}).annotate({ identifier: "NewStock" })

export const Product = Schema.Struct({
  product_id: ProductId,
  product_name: Schema.String.annotate({ examples: ["Gaming Laptop"] }),
  stock: Schema.Natural.annotate({ description: "Units on hand, including those held for orders.", examples: [50] }),
  reserved: Schema.Natural.annotate({ description: "Units held for orders.", examples: [2] }),
  available: Schema.Natural.annotate({ description: "`stock` − `reserved`.", examples: [48] }),
}).annotate({ identifier: "Product", description: "The product and its stock." })
export type Product = typeof Product.Type

const path = { product_id: ProductIdText }

const location = Schema.String.annotate({ description: "The path of the created resource." })

const inventory = HttpApiGroup.make("inventory")
  .add(
    HttpApiEndpoint.get("list", "/inventory", {
      query: PageQuery,
      success: page(Product),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({ summary: "List the products", description: "Ordered by id." })),
    HttpApiEndpoint.get("get", "/inventory/:product_id", {
      params: path,
      success: Product,
      error: ProductNotFound,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Get a product",
        description: "The answer may be cached; it is at most a second old.",
      }),
    ),
    HttpApiEndpoint.put("set", "/inventory/:product_id", {
      params: path,
      payload: NewStock,
      // A result without headers is the first of these whose schema matches.
      success: [Product, HttpApiSchema.WithHeaders(Product.pipe(HttpApiSchema.status(201)), { location })],
      error: StockBelowReserved,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Set the stock of a product",
        description: "Creates the product if it does not exist. Units held for orders stay held.",
      }),
    ),
  )
  .middleware(Edge)
  .annotateMerge(OpenApi.annotations({ title: "Inventory", description: "Products and their stock." }))

export const api = HttpApi.make("galleria").add(inventory).annotate(HttpApi.ParseOptions, { errors: "all" })
