"""Contributions of every row by XGBoost and by the shap package, each where it is installed, and how far XGBoost's are from ours.

Arguments: model (XGBoost JSON), rows (float64), features, our contributions (float64).
"""

import sys

import numpy
import xgboost
from measured import measured

booster = xgboost.Booster()
booster.load_model(sys.argv[1])
rows = numpy.fromfile(sys.argv[2]).reshape(-1, int(sys.argv[3]))
ours = numpy.fromfile(sys.argv[4]).reshape(len(rows), -1)
matrix = xgboost.DMatrix(rows)
measured(f"xgboost {xgboost.__version__} pred_contribs", 5, lambda: booster.predict(matrix, pred_contribs=True))
try:
    import shap

    explainer = shap.TreeExplainer(booster)
    measured(f"shap {shap.__version__} TreeExplainer", 5, lambda: explainer.shap_values(rows))
except ImportError as error:
    print(f"shap skipped: {error}")
print("largest difference of XGBoost's to ours:", float(abs(booster.predict(matrix, pred_contribs=True) - ours).max()))
