// Shows the document. The key that is typed in stays in this page: nothing is stored.
SwaggerUIBundle({
  url: "/schema/openapi.json",
  dom_id: "#viewer",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  showExtensions: false,
  tryItOutEnabled: false,
  validatorUrl: null,
});
