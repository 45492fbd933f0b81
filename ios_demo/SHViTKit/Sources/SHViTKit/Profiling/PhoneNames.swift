/// Returns a phone's product name; nil if the model code is unknown. Covers phones that run iOS 17.
func phoneName(of model: String) -> String? {
    phoneNames[model].map { "iPhone \($0)" }
}

private let phoneNames = [
    "iPhone11,2": "XS", "iPhone11,4": "XS Max", "iPhone11,6": "XS Max", "iPhone11,8": "XR",
    "iPhone12,1": "11", "iPhone12,3": "11 Pro", "iPhone12,5": "11 Pro Max", "iPhone12,8": "SE (2nd generation)",
    "iPhone13,1": "12 mini", "iPhone13,2": "12", "iPhone13,3": "12 Pro", "iPhone13,4": "12 Pro Max",
    "iPhone14,2": "13 Pro", "iPhone14,3": "13 Pro Max", "iPhone14,4": "13 mini", "iPhone14,5": "13",
    "iPhone14,6": "SE (3rd generation)", "iPhone14,7": "14", "iPhone14,8": "14 Plus",
    "iPhone15,2": "14 Pro", "iPhone15,3": "14 Pro Max", "iPhone15,4": "15", "iPhone15,5": "15 Plus",
    "iPhone16,1": "15 Pro", "iPhone16,2": "15 Pro Max",
    "iPhone17,1": "16 Pro", "iPhone17,2": "16 Pro Max", "iPhone17,3": "16", "iPhone17,4": "16 Plus",
    "iPhone17,5": "16e",
]
