// Classifies the rows of a CSV file: from the file to a confusion matrix.
#include <xtape/xtape.hpp>

#include <iostream>

namespace xp = xtape;

int main(int argc, char** argv) {
  // Columns of numbers, and one of text: the varieties of beans, as labels from 0 on.
  const xp::CsvTable table =
      xp::read_csv(argc > 1 ? argv[1] : "examples/data/beans.csv", {.text = {"variety"}});
  const auto x = table.numbers<float>();
  const xp::Categories varieties = table.categories("variety");
  const auto& [y, names] = varieties;
  const auto [train, test] = xp::random_split(table.size(), {0.8, 0.2}, 1);

  xp::Params<float> params({.seed = 1});
  xp::Sequential<float> model(params.scope());
  model
      .add<xp::BatchNormalization>({.momentum = 0.9})  // learns the scale of each column
      .add<xp::Dense>({.units = 16, .activation = "relu"})
      .add<xp::Dense>({.units = static_cast<int>(names.size()), .activation = "softmax"});

  xp::Adam<float> adam({.learning_rate = 0.01});
  xp::Accuracy accuracy;
  xp::fit(params, adam, model, xp::rows(x, train), xp::rows(y, train),
          {.loss = "sparse_categorical_crossentropy",
           .metrics = {&accuracy},
           .epochs = 20,
           .batch_size = 16,
           .validation_split = 0.2});

  xp::Precision precision;
  xp::Recall recall;
  xp::F1 f1;
  xp::ConfusionMatrix confusion;
  const xp::Logs logs =
      xp::evaluate(params, model, xp::rows(x, test), xp::rows(y, test),
                   {.loss = "sparse_categorical_crossentropy",
                    .metrics = {&accuracy, &precision, &recall, &f1, &confusion}});
  std::cout << "\nrows are what a bean is, columns what it is taken for:\n"
            << confusion.matrix() << '\n';
  for (std::size_t k = 0; k < names.size(); ++k) {
    std::cout << names[k] << ": precision " << precision.per_class()[k] << ", recall "
              << recall.per_class()[k] << '\n';
  }
  const xp::Array<float> one{{16.5F, 8.0F, 500.0F, 0.3F}};
  const auto kind = xp::argmax(xp::Var<float>(xp::predict(params, model, one)))(0);
  std::cout << "a bean of 16.5 x 8 mm and 500 mg is a " << names[static_cast<std::size_t>(kind)]
            << " bean\n";
  return logs.at("accuracy") > 0.85 ? 0 : 1;
}
